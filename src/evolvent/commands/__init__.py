"""The commands: each is made of an interface, its parameters parsed, its function called, what that returns printed."""
