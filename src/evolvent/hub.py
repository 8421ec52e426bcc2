"""The Hugging Face Hub's libraries tell nobody that they are used, and ask for nothing but files."""

import os

# Read when the libraries are imported. In their order: reports of use (with them a request for a list of the programs
# that may have started this one), the counting of datasets loaded, and a service that rewrites models as safetensors.
SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}


def without_telemetry() -> None:
    """Call before huggingface_hub, transformers, datasets or vllm is imported. What the user has set stays."""
    for variable, value in SETTINGS.items():
        os.environ.setdefault(variable, value)
