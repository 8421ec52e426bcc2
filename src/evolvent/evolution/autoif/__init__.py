"""AutoIF (arXiv 2406.13542): instructions that code can verify, the code, and answers that pass it."""
