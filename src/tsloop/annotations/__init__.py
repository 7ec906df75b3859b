"""Labels as records: journals, snapshots, quality, training datasets."""
