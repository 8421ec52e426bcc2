"""What this machine can run: the environment's state, one finding a line."""

import os
import platform
import sqlite3
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from evolvent.errors import ModelUnavailableError
from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.models.minilm import find_minilm
from evolvent.models.smollm2 import find_smollm2, lacking
from evolvent.models.uri import EMBEDDED
from evolvent.options import takes
from evolvent.sandbox.requirements import missing

VLLM = "0.33"  # the release that the vllm extra brings

EXTRAS = {
    "torch": "local",
    "transformers": "local",
    "datasets": "hub",
    "xllamacpp": "gguf",
    "lm-eval": "evaluate",
    "vl-convert-python": "report",
    "ray": "ray",
    "s3fs": "s3",
    "gcsfs": "gcs",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is usable, what was found, and what it is for or how to get it."""

    subject: str
    usable: bool
    found: str
    note: str = ""


@takes()
def doctor() -> list[Finding]:
    """Look at the environment; nothing is downloaded, no server is called."""
    findings = [
        Finding("evolvent", True, metadata.version("evolvent")),
        Finding("Python", True, platform.python_version()),
        Finding("sqlite", True, sqlite3.sqlite_version, "run folders"),
    ]
    for package, extra in EXTRAS.items():
        try:
            findings.append(Finding(package, True, metadata.version(package)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(package, False, "not installed", f"pip install 'evolvent[{extra}]'"))
    findings.append(_device())
    for uri, folder in EMBEDDED.items():
        there = (EMBEDDED_FOLDER / folder / "model.safetensors").is_file()
        found = "ships with the package" if there else "missing"
        findings.append(
            Finding(uri, there, found, "for trying the tool, tests and offline work; not for data to train on")
        )
    findings += [_smollm2(), _minilm()]
    key = bool(os.environ.get("OPENAI_API_KEY"))
    findings.append(
        Finding(
            "openai:", True, "OPENAI_API_KEY is set" if key else "no OPENAI_API_KEY", "servers of your own need none"
        )
    )
    findings.append(_sandbox())
    findings.append(_vllm())
    return findings


def _sandbox() -> Finding:
    """Whether code that a model wrote can be run behind a wall: one is tried."""
    problem = missing()
    if problem is None:
        return Finding("sandbox", True, "bubblewrap", "runs the functions of AutoIF: docs/sandbox.md")
    return Finding("sandbox", False, problem[0], problem[1])


def _smollm2() -> Finding:
    """Whether ``smollm2`` is on this machine, and what it needs there."""
    try:
        found = find_smollm2()
    except ModelUnavailableError as error:
        return Finding("smollm2", False, error.message.removeprefix("model smollm2 "), error.fix)
    if isinstance(found, str):
        return Finding("smollm2", True, f"hf:{found}", "SmolLM2-135M-Instruct, through transformers")
    lacks = lacking()
    if lacks is not None:
        return Finding("smollm2", False, str(found), "; ".join(lacks))
    return Finding("smollm2", True, str(found), "SmolLM2-135M-Instruct, through llama.cpp")


def _minilm() -> Finding:
    """Whether ``minilm`` is on this machine."""
    try:
        return Finding("minilm", True, find_minilm(), "all-MiniLM-L6-v2: embeds, for --metrics mnd")
    except ModelUnavailableError as error:
        return Finding("minilm", False, error.message.removeprefix("model minilm "), error.fix)


def _vllm() -> Finding:
    """Whether ``vllm:`` can be used; vLLM is not imported, which takes many seconds."""
    serve = "or serve with vLLM elsewhere: openai:MODEL?base_url=…"
    try:
        version = metadata.version("vllm")
    except metadata.PackageNotFoundError:
        own = f"in an environment of its own, as it wants its own torch: pip install 'evolvent[vllm]'; {serve}"
        return Finding("vllm:", False, "not installed", own)
    if version.split(".")[:2] != VLLM.split("."):
        return Finding("vllm:", False, version, f"written for vLLM {VLLM}: pip install 'evolvent[vllm]'")
    device = _device()
    if not device.usable or device.found.startswith("CPU"):
        return Finding("vllm:", False, version, f"torch sees no GPU; use hf: on a CPU, {serve}")
    return Finding("vllm:", True, version, "checked against this release's source, not run by us: docs/models.md")


def _device() -> Finding:
    if find_spec("torch") is None:
        return Finding("device", False, "no torch", "pip install 'evolvent[local]'")
    import torch

    if torch.cuda.is_available():
        return Finding("device", True, torch.cuda.get_device_name(0), "hf: models run in bfloat16")
    return Finding("device", True, f"CPU, {torch.get_num_threads()} threads", "hf: models run in float32")
