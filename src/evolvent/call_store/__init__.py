"""Every model call of a run on disk before its reply is used: the store, the models behind it."""
