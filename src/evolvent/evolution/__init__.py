"""Instructions evolve: the methods as their papers describe them, and what eliminates a failed evolution."""
