"""A run is a folder: every model call stored, a manifest that says how to make it again, and the stages' files."""
