"""Checks of labels that need no second opinion: one module per family, one list of findings."""
