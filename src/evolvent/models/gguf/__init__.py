"""Models in GGUF files: llama.cpp in this process."""
