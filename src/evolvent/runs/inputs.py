"""What DATA means: a run folder (the file of the stage before), a record file, or instruction data of any format."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from evolvent.errors import InputError
from evolvent.files import MANIFEST, FileState, file_digest, file_state, is_as_noted, locate
from evolvent.records import Record, content_digest
from evolvent.runs.loaded_file import LoadedFile
from evolvent.runs.manifest import StageEntry, check_as_written, read_manifest
from evolvent.runs.part_files import check_whole
from evolvent.runs.record_files import count_wanted, is_record_file, read_records
from evolvent.runs.run import Run
from evolvent.stages import STAGES, file_of, row_of

# What was found of checked data, in the run folder.
CHECKED = ".checked-{stage}.sqlite"

# In an input's digest, between that of a file and how many of its rows are taken.
FIRST = ", first "

# What a stage takes: a path, a Hub id, a run, an iterable of dicts (a datasets.Dataset is one).
Data = str | Path | Run | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of a run a stage takes.

    Attributes:
        statuses: of these; None for any.
        first_round, last_round: of these rounds, both included; None for no last one.
    """

    statuses: tuple[str, ...] | None = ("ok",)
    first_round: int = 0
    last_round: int | None = None

    def __call__(self, status: str, round: int) -> bool:
        """Whether a row of this status and round is taken."""
        known = self.statuses is None or status in self.statuses
        return known and round >= self.first_round and (self.last_round is None or round <= self.last_round)


EVERY = Wanted(None)


class StageInput(Protocol):
    """A stage's input, checked: nothing in it will stop the stage later. Plain data, which another process can read.

    Attributes:
        about: what the manifest notes of it: source, rows, digest; ``stage``, if it is a file of the same run folder.
        rows: how many records it has.
        counts: what the check counted (bad rows skipped, duplicates, rows left out).
    """

    @property
    def about(self) -> dict[str, Any]: ...

    @property
    def rows(self) -> int: ...

    @property
    def counts(self) -> dict[str, int]: ...

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:
        """The records in order, as (position, record).

        Args:
            start: the position of the data to begin with.
            before: how many of the input's records stand before that position.
        """
        ...

    def reach(self, record: int) -> tuple[int, int]:
        """Where to begin to come to a record without making all before it: ``start`` and ``before`` for ``records``.

        Args:
            record: its number among the input's records, from 0.

        Returns:
            A place at that record or before it: the beginning, (0, 0), where no other is known.
        """
        ...

    def __iter__(self) -> Iterator[Record]:
        """All records in order."""
        ...

    def begins_with(self, noted: Mapping[str, Any]) -> bool:
        """Whether it begins with another input, of which a manifest noted this; False where that cannot be said."""
        ...

    def unchanged(self) -> None:
        """Check that it is still what was checked.

        Raises:
            InputError: it is not.
        """
        ...

    def keep(self, folder: Path) -> None:
        """Keep the check's findings in the run folder."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Records in memory."""

    items: Sequence[Record]
    about: dict[str, Any]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.items)

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:  # noqa: ARG002
        return ((position, self.items[position]) for position in range(start, len(self.items)))

    def reach(self, record: int) -> tuple[int, int]:
        return record, record

    def __iter__(self) -> Iterator[Record]:
        return iter(self.items)

    def begins_with(self, noted: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return False

    def unchanged(self) -> None:
        pass

    def keep(self, folder: Path) -> None:
        pass


@dataclass(frozen=True, slots=True)
class RecordFile:
    """The rows of a file that a stage wrote.

    Attributes:
        path: the file.
        wanted: which of its rows are taken.
        limit: the first so many of them only.
        state: the file as it was when it was checked.
        as_seeds: whether each row is taken as a seed of its own, whatever it was in its run.
        groups: of each row group the position of its first row, and how many wanted rows stand before it.
    """

    path: Path
    wanted: Wanted
    limit: int | None
    about: dict[str, Any]
    rows: int
    counts: dict[str, int]
    state: FileState
    as_seeds: bool = False
    groups: tuple[tuple[int, int], ...] = field(default=((0, 0),), repr=False)

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:
        rows = (
            (position, seed_of(record, position) if self.as_seeds else record)
            for position, record in enumerate(read_records(self.path, start), start)
            if self.wanted(record.status, record.round)
        )
        yield from rows if self.limit is None else islice(rows, max(0, self.limit - before))
        self.unchanged()

    def reach(self, record: int) -> tuple[int, int]:
        """The row group that it stands in."""
        return self.groups[bisect_right(self.groups, record, key=lambda group: group[1]) - 1]

    def __iter__(self) -> Iterator[Record]:
        return (record for _, record in self.records())

    def begins_with(self, noted: Mapping[str, Any]) -> bool:
        """So far as both are the first rows of one file, taken as seeds."""
        file, _, taken = noted["digest"].partition(FIRST)
        same = file == self.about["digest"].partition(FIRST)[0]
        return same and bool(taken) and (self.limit or self.rows) >= int(taken)

    def unchanged(self) -> None:
        if file_state(self.path) != self.state:
            raise InputError(f"{self.path} has changed since it was opened", fix="Start the same command again.")

    def keep(self, folder: Path) -> None:
        pass


def stage_input(
    data: Data,
    *,
    before: str | None,
    out: Path | None = None,
    wanted: Wanted = EVERY,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> StageInput:
    """Open and check a stage's input.

    Args:
        data: a run folder or Run, a path, a Hub id, an iterable of dicts, or a datasets.Dataset.
        before: the stage whose file is read from a run folder; None for seeds: there a run folder makes no sense, and
            each ok row of a record file is a seed of its own.
        out: the stage's own run folder, where the findings of an earlier check may be.
        wanted: which rows of a run are taken; of instruction data all are.
        format, map, skip_bad: how to read instruction data (see ``evolvent.load``).
        limit: take the first so many only.

    Raises:
        InputError: the data cannot be read, the run folder lacks the stage's file, or there can be none of that name.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}", fix="Give 1 or more.")
    if out is not None:
        locate(out, "written")
    if isinstance(data, Run):
        return record_file(_stage_file(data.path, before), wanted, limit, out)
    if isinstance(data, str | Path):
        path, _ = locate(data, "read")
        if (path / MANIFEST).is_file():
            return record_file(_stage_file(path, before), wanted, limit, out)
        if is_record_file(path) or (path.suffix == ".parquet" and _own_entry(path) is not None):
            return record_file(path, wanted if before else Wanted(), limit, out, as_seeds=before is None)
    checked = CHECKED.format(stage=before or "seeds")
    how = {"format": format, "map": map, "skip_bad": skip_bad, "limit": limit}
    return LoadedFile(data, {**how, "known": out / checked if out else None}, checked)


def record_file(
    path: Path, wanted: Wanted, limit: int | None = None, out: Path | None = None, *, as_seeds: bool = False
) -> RecordFile:
    """Open a record file as a stage's input.

    Args:
        path: the file.
        wanted: which of its rows are taken.
        limit: the first so many of them only.
        out: the stage's own run folder.
        as_seeds: whether each row is taken as a seed of its own.

    Raises:
        InputError: the file is damaged, or one of the stage's own run folder and not up to date.
    """
    state, digest = file_state(path), _digest(path)
    groups, every, found = [(0, 0)], 0, 0
    for rows, rows_wanted in count_wanted(path, wanted):
        groups.append((every := every + rows, found := found + rows_wanted))
    rows = min(found, limit or every)
    about: dict[str, Any] = {"source": str(path), "rows": rows if as_seeds else every, "digest": digest}
    if out is not None and path.parent.resolve() == out.resolve():
        about["stage"] = stage = next((stage for stage in STAGES if file_of(stage) == path.name), None)
        if stage is not None:
            _check_current(path, stage)
    if as_seeds and limit is not None:  # of other inputs the stage's settings hold the limit
        about["digest"] += f"{FIRST}{limit}"
    counts = {"rows left out": every - rows} if every > rows else {}
    return RecordFile(path, wanted, limit, about, rows, counts, state, as_seeds, tuple(groups))


def seed_of(record: Record, position: int) -> Record:
    """A row of a run as a seed: its texts and the user's columns, without its history and scores."""
    id = content_digest(record.instruction, record.input, record.output, record.messages)
    return Record(
        f"{id}-{position}",
        f"{id}-{position}",
        position,
        record.instruction,
        record.input,
        record.output,
        record.messages,
        meta=record.meta,
    )


def check_taken(source: StageInput, taken: str) -> None:
    """Check that a stage's input holds anything.

    Args:
        source: the input.
        taken: what the stage does with a record ("answer"), for the message.

    Raises:
        InputError: it does not.
    """
    if not source.rows:
        raise InputError(
            f"{source.about['source']} holds nothing to {taken}", fix="See what it holds: evolvent show RUN."
        )


def _stage_file(folder: Path, before: str | None) -> Path:
    if before is None:
        raise InputError(f"{folder} is a run folder, not seeds", fix="Name a data file, or a file in the run folder.")
    path = folder / file_of(before)
    if not path.is_file():
        raise InputError(f"{folder} has no {path.name}", fix=f"Make it with: {_command(before, folder)}")
    _check_current(path, before)
    return path


def _command(stage: str, folder: Path) -> str:
    return row_of(stage).command.format(folder=folder)


def _check_current(path: Path, stage: str) -> None:
    """Check that a stage's file is finished and not out of date, as far as its folder's manifest says."""
    entry = read_manifest(path.parent).get(stage)
    # While failed records are taken again, or columns are added, the file that is there stays good.
    good = entry is None or entry.state == "done" or (entry.state == "running" and is_as_noted(path, entry.output))
    if entry is not None and not good:
        why = "what it was made of was made anew since" if entry.state == "stale" else f"{stage} is not finished"
        raise InputError(f"{path} is stale: {why}", fix=f"Bring it up to date: {_command(stage, path.parent)}")


def _digest(path: Path) -> str:
    """The hash of a file's bytes; they must be those that a stage wrote, if one did.

    Raises:
        InputError: they are not.
    """
    entry = _own_entry(path)
    if entry is None or entry.state == "running":
        check_whole(path, "Make it anew, or copy it back.")
        return file_digest(path)
    check_as_written(path, entry)
    return str(entry.output["digest"])


def _own_entry(path: Path) -> StageEntry | None:
    """The entry of the stage that wrote a record file, if the file lies in its run folder."""
    stage = next((stage for stage in STAGES if file_of(stage) == path.name), None)
    return read_manifest(path.parent).get(stage) if stage is not None else None
