"""The self-contained HTML report of an iteration."""
