"""Keep the best: by a score, with conditions, without what a test set holds."""
