"""What calls cost: prices, the budget, the estimate of a dry run."""
