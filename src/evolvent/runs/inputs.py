"""What DATA means: a run folder (the file of the stage before), a record file, or instruction data of any format."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolvent.datasets.load import load
from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.runs.folder import Run
from evolvent.runs.manifest import NAME, OUTPUTS, read_manifest
from evolvent.runs.tables import count_rows, is_record_file, read_records

MADE_BY = {
    "evolve": "evolvent evolve SEEDS --model URI",
    "respond": "evolvent respond {folder} --teacher URI",
    "score": "evolvent score {folder} --base-model URI",
}


# What a stage takes: a path, a Hub id, a run, an iterable of dicts (a datasets.Dataset is one).
Data = str | Path | Run | Iterable[Mapping[str, Any]]


@dataclass(slots=True)
class StageInput:
    """A stage's input, checked: nothing in it will stop the stage later.

    Attributes:
        source: what the manifest notes of it (path, rows, digest).
        rows: how many records it has.
        records: reads them, in order.
        counts: what the check counted (bad rows skipped, duplicates).
        from_stage: whether a stage of a run made it.
    """

    source: dict[str, Any]
    rows: int
    records: Callable[[], Iterator[Record]]
    counts: dict[str, int] = field(default_factory=dict)
    from_stage: bool = False


def stage_input(
    data: Data,
    *,
    before: str | None,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> StageInput:
    """Open and check a stage's input.

    Args:
        data: a run folder or Run, a path, a Hub id, an iterable of dicts, or a datasets.Dataset.
        before: the stage whose file is read from a run folder; None if a run folder makes no sense here.
        format, map, skip_bad, limit: how to read instruction data (see ``evolvent.load``); a record file is read whole.

    Raises:
        InputError: the data cannot be read, or the run folder lacks the stage's file.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}", fix="Give 1 or more.")
    if isinstance(data, Run):
        return _record_file(_stage_file(data.path, before))
    if isinstance(data, str | Path):
        path = Path(data)
        if (path / NAME).is_file():
            return _record_file(_stage_file(path, before))
        if before is not None and is_record_file(path):
            return _record_file(path)
    loaded = load(data, format=format, map=map, skip_bad=skip_bad, limit=limit)
    counts = {"skipped rows": loaded.skipped, "exact duplicates": loaded.duplicates}
    name = str(data) if isinstance(data, str | Path) else type(data).__name__
    source = {"source": name, "format": loaded.format, "rows": loaded.rows, "digest": loaded.digest}
    source |= {"limit": limit, "map": dict(map) if map else None}
    return StageInput(source, loaded.rows, lambda: iter(loaded), {name: n for name, n in counts.items() if n})


def _stage_file(folder: Path, before: str | None) -> Path:
    if before is None:
        raise InputError(f"{folder} is a run folder, not seeds", fix="Name a data file, or a file in the run folder.")
    path = folder / OUTPUTS[before]
    command = f"{MADE_BY[before].format(folder=folder)} --out {folder}"
    if not path.is_file():
        raise InputError(f"{folder} has no {path.name}", fix=f"Make it with: {command}")
    entry = read_manifest(folder).get(before)
    if entry is not None and entry.state != "done":
        why = "an earlier stage was made anew since" if entry.state == "stale" else f"{before} is not finished"
        raise InputError(f"{path} is stale: {why}", fix=f"Bring it up to date: {command}")
    return path


def _record_file(path: Path) -> StageInput:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = count_rows(path)
    source = {"source": str(path), "rows": rows, "digest": digest}
    return StageInput(source, rows, lambda: read_records(path), from_stage=True)
