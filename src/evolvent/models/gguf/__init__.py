"""Models in GGUF files: llama.cpp in this process."""

from evolvent.models.gguf.chat import GGUFChat

__all__ = ["GGUFChat"]
