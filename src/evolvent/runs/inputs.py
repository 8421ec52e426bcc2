"""What DATA means: a run folder (the file of the stage before), a record file, or instruction data of any format."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolvent.datasets.load import load
from evolvent.errors import InputError
from evolvent.files import MANIFEST as NAME
from evolvent.files import FileState, file_state, locate
from evolvent.records import Record
from evolvent.runs.folder import Run
from evolvent.runs.manifest import OUTPUTS, read_manifest
from evolvent.runs.record_files import count_rows, count_wanted, is_record_file, read_records

MADE_BY = {
    "evolve": "evolvent evolve SEEDS --model URI",
    "respond": "evolvent respond {folder} --teacher URI",
    "score": "evolvent score {folder} --base-model URI",
}
# What was found of checked data, in the run folder.
CHECKED = ".checked-{stage}.sqlite"


# What a stage takes: a path, a Hub id, a run, an iterable of dicts (a datasets.Dataset is one).
Data = str | Path | Run | Iterable[Mapping[str, Any]]

# Whether a stage takes a row of this status and round from the stage before it.
Wanted = Callable[[str, int], bool]


@dataclass(slots=True)
class StageInput:
    """A stage's input, checked: nothing in it will stop the stage later.

    Attributes:
        source: what the manifest notes of it (path, rows, digest).
        rows: how many records it has.
        records: reads them in order, from a position of the data on, as (position, record).
        counts: what the check counted (bad rows skipped, duplicates, rows left out).
        unchanged: raises InputError if it is no longer what was checked.
        keep: keeps the check's findings in the run folder.
    """

    source: dict[str, Any]
    rows: int
    records: Callable[[int], Iterator[tuple[int, Record]]]
    counts: dict[str, int] = field(default_factory=dict)
    unchanged: Callable[[], None] = lambda: None
    keep: Callable[[Path], None] = lambda _: None

    def __iter__(self) -> Iterator[Record]:
        """The records in order."""
        return (record for _, record in self.records(0))


def stage_input(
    data: Data,
    *,
    before: str | None,
    out: Path | None = None,
    wanted: Wanted = lambda *_: True,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> StageInput:
    """Open and check a stage's input.

    Args:
        data: a run folder or Run, a path, a Hub id, an iterable of dicts, or a datasets.Dataset.
        before: the stage whose file is read from a run folder; None if a run folder makes no sense here.
        out: the stage's own run folder, where the findings of an earlier check may be.
        wanted: which rows of a run are taken; of instruction data all are.
        format, map, skip_bad: how to read instruction data (see ``evolvent.load``).
        limit: take the first so many only.

    Raises:
        InputError: the data cannot be read, or the run folder lacks the stage's file.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}", fix="Give 1 or more.")
    if isinstance(data, Run):
        return _record_file(_stage_file(data.path, before), wanted, limit)
    if isinstance(data, str | Path):
        path, _ = locate(data, "read")
        if (path / NAME).is_file():
            return _record_file(_stage_file(path, before), wanted, limit)
        if is_record_file(path):
            if before is None:
                raise InputError(
                    f"{path} is a run's file: it holds seeds and what was made of them", fix="Name the seeds' own file."
                )
            return _record_file(path, wanted, limit)
    checked = CHECKED.format(stage=before or "seeds")
    known = out / checked if out else None
    loaded = load(data, format=format, map=map, skip_bad=skip_bad, limit=limit, known=known)
    counts = {"skipped rows": loaded.skipped, "exact duplicates": loaded.duplicates}
    name = str(data) if isinstance(data, str | Path) else type(data).__name__
    source = {"source": name, "format": loaded.format, "rows": loaded.rows, "digest": loaded.digest}
    source |= {"limit": limit, "map": dict(map) if map else None}

    def records(start: int) -> Iterator[tuple[int, Record]]:
        return ((record.seed_index, record) for record in loaded.records(start))

    return StageInput(
        source,
        loaded.rows,
        records,
        {name: n for name, n in counts.items() if n},
        unchanged=loaded.unchanged,
        keep=lambda folder: loaded.keep(folder / checked),
    )


def _stage_file(folder: Path, before: str | None) -> Path:
    if before is None:
        raise InputError(f"{folder} is a run folder, not seeds", fix="Name a data file, or a file in the run folder.")
    path = folder / OUTPUTS[before]
    command = f"{MADE_BY[before].format(folder=folder)} --out {folder}"
    if not path.is_file():
        raise InputError(f"{folder} has no {path.name}", fix=f"Make it with: {command}")
    entry = read_manifest(folder).get(before)
    # While failed records are taken again the finished file stays good.
    if entry is not None and entry.state != "done" and not (entry.state == "running" and entry.finished):
        why = "an earlier stage was made anew since" if entry.state == "stale" else f"{before} is not finished"
        raise InputError(f"{path} is stale: {why}", fix=f"Bring it up to date: {command}")
    return path


def _record_file(path: Path, wanted: Wanted, limit: int | None) -> StageInput:
    state = file_state(path)
    every = count_rows(path)
    rows = min(count_wanted(path, wanted), limit or every)
    source = {"source": str(path), "rows": every, "digest": _digest(path, state)}

    def records(start: int) -> Iterator[tuple[int, Record]]:
        for position, record in enumerate(read_records(path, start), start):
            if wanted(record.status, record.round):
                yield position, record

    def unchanged() -> None:
        if file_state(path) != state:
            raise InputError(f"{path} has changed since it was opened", fix="Start the same command again.")

    counts = {"rows left out": every - rows} if every > rows else {}
    return StageInput(source, rows, records, counts, unchanged=unchanged)


def _digest(path: Path, state: FileState) -> str:
    """A hash of a file's bytes; a stage's own file that nobody touched since is known by the manifest."""
    for entry in read_manifest(path.parent).values() if (path.parent / NAME).is_file() else ():
        if entry.output.get("state") == list(state) and path.name == entry.output.get("name"):
            return str(entry.output["digest"])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
