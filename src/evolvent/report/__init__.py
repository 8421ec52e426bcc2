"""What is told of a run: tables, progress, the summary."""
