"""A GGUF file as a folder that transformers loads: converted once, into a cache beside the Hub's.

llama.cpp gives the likelihoods of what it generates, and none of a text that it is given. So the weights are taken
out of their quantisation and kept as float16, in which they are what llama.cpp computes with to 1 in 2,000.
"""

import logging
import os
import shutil
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from evolvent.errors import ModelUnavailableError, RunError, require_extra
from evolvent.hub import without_telemetry
from evolvent.models.gguf.files import digest_of
from evolvent.models.gguf.header import read_header

log = logging.getLogger(__name__)


def transformers_folder(file: Path, uri: str) -> Path:
    """The folder of a GGUF file, made if it is not there yet; of two processes one makes it, the other waits.

    Args:
        file: the GGUF file.
        uri: the model's name in messages to the user.

    Raises:
        InputError: gguf or accelerate is not installed.
        ModelUnavailableError: the file is no GGUF file, or of an architecture that transformers cannot read.
        RunError: the cache cannot be written.
    """
    header = read_header(file, uri)
    architecture = header.get("general.architecture")
    if architecture == "llama" and f"{architecture}.attention.head_count_kv" not in header:
        raise ModelUnavailableError(
            f"model {uri}: {file} does not say how many heads its keys have (llama.attention.head_count_kv), and "
            "transformers then takes the rows of keys and queries in another order: another model, with other scores",
            fix="Convert the original weights anew with llama.cpp, or name them: hf:ID-or-folder.",
        )
    without_telemetry()
    from filelock import FileLock
    from huggingface_hub.constants import HF_HOME

    folder = Path(HF_HOME) / "evolvent" / digest_of(file)
    if folder.is_dir():
        return folder
    require_extra("gguf", "gguf")
    require_extra("accelerate", "local")  # or transformers reads none
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / "lock"):
            if not folder.is_dir():
                log.warning("%s is converted for transformers, once, into %s …", uri, folder)
                _convert(file, folder)
    # an architecture or quantisation that it does not know, a damaged file: transformers raises anything then
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, and none of transformers' own
            raise RunError(
                f"model {uri}: the folder {folder} cannot be written: {error}",
                fix="It takes about 2 bytes a weight. HF_HOME names another place.",
            ) from error
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelUnavailableError(
            f"model {uri}: transformers cannot read {file} (architecture {architecture}): {words}",
            fix="Name the model's original weights instead: hf:ID-or-folder.",
        ) from error
    return folder


def _convert(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    part = folder.with_suffix(".part")  # that of a process that was killed is overwritten
    shutil.rmtree(part, ignore_errors=True)
    with redirect_stderr(StringIO()):  # bars of their own
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(part)
        model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        # the weights are plain numbers now
        model.hf_quantizer, model.is_quantized = None, False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(torch.float16).save_pretrained(part)
    for written in part.iterdir():
        os.utime(written, (0, 0))  # the same file is the same model, whenever it was converted
    part.rename(folder)
