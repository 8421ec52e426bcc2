"""Publishing: what a run has made as a data set on the Hugging Face Hub, with a card that says how."""
