"""training.json in a student's folder: how it was made, and how far that is."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError
from evolvent.files import LOCK, replacing
from evolvent.runs.manifest import versions
from evolvent.storage_errors import explained

NOTE = "training.json"
PACKAGES = ("accelerate", "datasets", "peft", "trl")


def read_note(out: Path) -> dict[str, Any] | None:
    """The note in a folder; None if it has none.

    Raises:
        InputError: the folder is none of a training, or its note cannot be read.
    """
    path = out / NOTE
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file, and a student is a folder", fix="Choose another --out.")
    if not path.is_file():
        if out.is_dir() and any(path.name != LOCK for path in out.iterdir()):  # which a kill may leave
            raise InputError(f"{out} is not empty, and no training wrote it", fix="Choose another --out.")
        return None
    with explained(path, "read"):
        content = path.read_bytes()
    try:
        note = orjson.loads(content)
        if isinstance(note["how"], dict) and isinstance(note["input"]["digest"], str):
            return {"state": note["state"], **note}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is no note of a training", fix="Choose another --out.")


def write_note(out: Path, note: Mapping[str, Any]) -> None:
    """Write the note, as a whole or not at all."""
    with replacing(out / NOTE) as file:
        file.write(orjson.dumps(note, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))


def differences(note: Mapping[str, Any], how: Mapping[str, Any], digest: str) -> list[str]:
    """How a training differs from that of a note, one line each."""
    old = note["how"]
    lines = [
        f"{name}: {old.get(name)!r} in the folder, {how.get(name)!r} now"
        for name in sorted({*old, *how})
        if old.get(name) != how.get(name)
    ]
    if note["input"]["digest"] != digest:
        lines.append(f"data: other content than {note['input'].get('source', 'before')} had")
    return lines


def used_versions() -> dict[str, str]:
    """Versions of what decides a training."""
    return {**versions(), **{package: metadata.version(package) for package in PACKAGES}}
