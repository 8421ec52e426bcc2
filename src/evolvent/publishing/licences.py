"""Licences, where a model's own files on this machine say one: its README, its config, its GGUF header."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import yaml

from evolvent.errors import EvolventError
from evolvent.models.folders import cached_folder
from evolvent.models.gguf.files import cached_gguf
from evolvent.models.gguf.header import read_header
from evolvent.models.uri import NAMES, parse_uri

# Of this package and of the models and seeds that ship with it; of smollm2 and minilm, whose weights are pinned.
OWN = "apache-2.0"
_FRONT_MATTER = re.compile(r"\A\s*---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


def licence_of_model(uri: str) -> str | None:
    """The licence that a model's own files say; None where they say none, or are not on this machine."""
    try:
        parsed = parse_uri(uri)
        if parsed.scheme in NAMES:
            return OWN
        path = None if parsed.scheme == "openai" else _place(parsed.name, parsed.revision)
        return None if path is None else _said(path, uri)
    except (EvolventError, OSError, RuntimeError, ValueError):  # damaged, or a name that nothing can have
        return None


def licence_of_data(source: str) -> str | None:
    """The licence of a data set on the Hub, by its card in the Hub's cache; None where that is not known."""
    if not find_spec("huggingface_hub"):
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        card = try_to_load_from_cache(source.partition(":")[0], "README.md", repo_type="dataset")
    except ValueError:  # no name of the Hub's, though it looks like one
        return None
    return _of_card(Path(card)) if isinstance(card, str) else None


def only(licences: Iterable[str | None]) -> str | None:
    """The licence that all have; None where one is not known, or they differ."""
    found = set(licences)
    return found.pop() if len(found) == 1 else None


def _place(name: str, revision: str | None) -> Path | None:
    """Where a model's files are: its folder, or its GGUF file."""
    path = Path(name).expanduser()
    if path.exists():
        files = list(path.glob("*.gguf")) if path.is_dir() and not (path / "config.json").exists() else []
        return files[0] if len(files) == 1 else path
    if not find_spec("huggingface_hub"):
        return None
    return cached_gguf(name) if name.endswith(".gguf") else cached_folder(name, revision)


def _said(path: Path, uri: str) -> str | None:
    if path.suffix == ".gguf":
        return _text(read_header(path, uri).get("general.license")) or _of_card(path.with_name("README.md"))
    config = path / "config.json"
    said = _of_card(path / "README.md")
    return said or (_text(orjson.loads(config.read_bytes()).get("license")) if config.is_file() else None)


def _of_card(card: Path) -> str | None:
    """The licence in the front matter of a README."""
    found = _FRONT_MATTER.match(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    try:
        about = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return None
    return _text(about.get("license")) if isinstance(about, dict) else None


def _text(value: Any) -> str | None:
    return value.strip().lower() if isinstance(value, str) and value.strip() else None
