"""Which evolver, which teacher, which data for a base model, and how sure that is."""
