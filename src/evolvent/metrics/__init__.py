"""Scores of instruction-response pairs: one file a metric, and one registry (``registry.py``)."""
