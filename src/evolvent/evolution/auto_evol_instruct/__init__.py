"""Auto Evol-Instruct (arXiv 2406.00770): an evolving method applied, and the optimiser that improves the method."""
