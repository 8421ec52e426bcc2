"""Training: a student made of a base model and data, by TRL; what is trained on is shown before it begins."""
