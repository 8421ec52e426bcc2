"""How the embedded models are made: a small world with a grammar of its own, a corpus, a tokenizer, two trainings."""
