"""Scores of instruction-response pairs: one file a metric, and one table of them (``all_metrics.py``)."""
