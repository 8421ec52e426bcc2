"""Other tools and the bare loop, doing one evolution a seed: scripts run by an environment of their own."""
