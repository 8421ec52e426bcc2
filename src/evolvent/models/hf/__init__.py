"""The ``hf:`` back end: models that transformers runs in this process. Its modules need the ``local`` extra."""
