"""Teachers answer instructions."""
