"""Metrics, matching, thresholds and their uncertainty. Pure: no framework."""
