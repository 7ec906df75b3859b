"""One short module per DVC stage."""
