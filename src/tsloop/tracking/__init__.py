"""MLflow: runs, lineage, registry, synchronisation."""
