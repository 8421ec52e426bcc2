"""The commands: each parses its options, calls the function of its name, and prints."""
