"""A stage's output while it grows: files of parts of its input, joined when all of them are there.

A part is written whole, renamed into place and never touched again, so whatever ends the process, what it had finished
is kept and neither worked through nor read from the call store again. A part is one row group of the finished file, or
several where its rows are long: cut by the input and by what it became, so that a run that was stopped and gone on with
writes the same bytes as one that was not. A part knows which one it is and of what; one that is damaged is made again.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from evolvent.call_store.used import Used
from evolvent.errors import InputError, RunError
from evolvent.files import replacing, sync_folder
from evolvent.records import Column, Record, schema
from evolvent.runs.part_files import (
    NOTES,
    PART_NAME,
    PartFile,
    PartNote,
    checked_note,
    is_whole,
    part_name,
    read_note,
    row_groups,
    write_group,
    writing,
)
from evolvent.runs.record_files import record_table
from evolvent.runs.tally import Tally
from evolvent.shard import Shard
from evolvent.storage_errors import explained

if TYPE_CHECKING:
    import pyarrow as pa

    from evolvent.runs.inputs import StageInput

# Records of input in a part, as a rule and at the least. Few enough to be done again after a kill in no time, enough
# for a row group worth reading; between them so few that there are parts for that many shards.
PART, SMALLEST = 2_048, 64
ENOUGH = 512
# Parts at the most: more records are in larger ones. Each is a file in one folder, and what is noted of all of them
# stands in one text of the finished file's footer. Of 100 MB pyarrow reads none: 3,000 bytes each.
MOST = 1 << 15
EARLIER = "earlier.parquet"
# Characters of rows that are gathered before they are written: a bound to memory, whatever a row holds.
GROUP = 1 << 24

log = logging.getLogger(__name__)


def parts_of(records: int, window: int) -> list[range]:
    """Which records of an input, counted from 0, each part holds: the stage decides it, and not who makes the part.

    Args:
        records: how many the input has.
        window: how many of them the stage works on at once; no part cuts one.
    """
    size = PART
    while size > max(SMALLEST, window) and records < ENOUGH * size:
        size //= 2
    while records > MOST * size:
        size *= 2
    return [range(start, min(start + size, records)) for start in range(0, records, size)]


class Placed(NamedTuple):
    """A record of the input: the part that its rows belong to, and its position in the input."""

    part: int
    position: int
    record: Record


@dataclass(slots=True)
class Output:
    """The output of a stage: its finished parts, and the one that grows.

    Args:
        path: the stage's file, as it will be called when it is finished.
        total: records of input.
        unchanged: raises if the input is no longer what was checked; called before a part is kept.
        columns: the score columns, in their order.
        of: what the parts are parts of: a hash of the stage's settings and its input.
        window: how many records the stage works on at once.

    Raises:
        RunError, InputError: the disk is full, or the folder cannot be written.
    """

    path: Path
    total: int
    unchanged: Callable[[], None] = lambda: None
    columns: Sequence[Column] = ()
    of: str = ""
    window: int = 1
    parts: list[range] = field(init=False)
    finished: dict[int, PartNote] = field(default_factory=dict)
    _rows: list[Record] = field(default_factory=list)
    _size: int = 0
    _growing: int = -1
    _note: PartNote = field(default_factory=lambda: PartNote(0, 0, Tally()))
    _file: PartFile | None = None  # of the growing part, once some of its rows are written

    def __post_init__(self) -> None:
        self.parts = parts_of(self.total, self.window)
        folder = parts_folder(self.path)
        with explained(folder):
            folder.mkdir(exist_ok=True)
            for file in sorted(folder.iterdir()):
                if file.name == EARLIER:
                    continue
                named = PART_NAME.fullmatch(file.name)
                if named and (note := note_of_part(file, self.of, self.parts)) is not None:
                    self.finished[int(file.stem)] = note
                    continue
                if named:
                    log.warning("warning: %s is damaged, or no part of this: it is not used", file)
                shutil.rmtree(file) if file.is_dir() else file.unlink()  # or was being written when the process died

    @property
    def records_done(self) -> int:
        """Records of input whose rows are in finished parts."""
        return sum(note.records for note in self.finished.values())

    def tally(self) -> Tally:
        """What became of the rows so far."""
        whole = Tally()
        for note in [*self.finished.values(), self._note]:
            whole.add(note.tally)
        return whole

    def missing(self, shard: Shard | None = None) -> list[int]:
        """The numbers of the parts that are not finished; of a shard those that it makes."""
        parts = range(len(self.parts))
        return [part for part in parts if part not in self.finished and (shard is None or shard.takes(part))]

    def places(self, parts: Sequence[int], source: "StageInput") -> Iterator[Placed]:
        """The records of parts, in order; those of finished parts, and of others' shards, are passed over.

        Args:
            parts: their numbers, rising.
            source: the stage's input.
        """
        records, read = source.records(), 0
        for part in parts:
            wanted = self.parts[part]
            if wanted.start > read:
                known = self.finished.get(part - 1)
                start, before = (known.end, wanted.start) if known else source.reach(wanted.start)
                if before > read:
                    records, read = source.records(start, before), before
            for position, record in islice(records, wanted.start - read, wanted.stop - read):
                yield Placed(part, position, record)
            read = wanted.stop

    def add(self, place: Placed, rows: Iterable[Record], count: Callable[[Tally, Record], None]) -> None:
        """Add the rows of one record, in the order of the input.

        Args:
            place: the record.
            rows: what it became.
            count: counts a row.
        """
        if self.is_complete_before(place):
            self.keep()
        self._growing = place.part
        for row in rows:
            self._rows.append(row)
            self._size += row.size
            count(self._note.tally, row)
        self._note.end, self._note.records = place.position + 1, self._note.records + 1

    def is_complete_before(self, place: Placed) -> bool:
        """Whether the growing part has all its records when this one comes, and is to be put in place (``keep``)."""
        return bool(self._note.records) and place.part != self._growing

    @property
    def is_full(self) -> bool:
        """Whether so much was gathered that it is to be written (``write``), although the part is not complete."""
        return self._size > GROUP

    def write(self) -> None:
        """Write what was gathered as a row group of the growing part.

        Raises:
            InputError, RunError: the disk is full, or the folder went away.
        """
        table = record_table(self._rows, self._schema)
        if self._file is None:
            self._file = PartFile(self._part(self._growing), self._schema)
        self._file.write(table)
        self._note.groups += 1
        self._rows, self._size = [], 0

    def drop(self) -> None:
        """Give up what was written of the growing part."""
        if self._file is not None:
            self._file.drop()
            self._file = None

    def use(self, used: dict[str, Used]) -> None:
        """Count what the record that was added last took from its models."""
        self._note.tally.use(used)

    def finish(self, check: Callable[[], None] = lambda: None) -> Tally:
        """Join the parts to the finished file.

        Args:
            check: raises if the folder may no longer be written to.

        Returns:
            What became of all rows.

        Raises:
            RunError: the input had fewer records than were counted, or the disk is full.
        """
        self.keep()
        if self.records_done != self.total:
            raise RunError(
                f"the input gave {self.records_done:,} records, not the {self.total:,} that were counted",
                fix="Start the same command again when nothing writes to the input.",
            )
        notes = [self.finished[number] for number in sorted(self.finished)]
        check()
        _join(self.path, [self._part(number) for number in sorted(self.finished)], notes, self._schema, check)
        return self.tally()

    def keep(self) -> None:
        """Put the growing part in place.

        Raises:
            InputError, RunError: the input changed, the folder went away, or the disk is full.
        """
        if not self._note.records:
            return
        used = self._note.tally.used
        self._note.tally.used = {uri: used[uri] for uri in sorted(used)}  # not in the order in which replies came
        self.unchanged()
        if self._rows or self._file is None:
            self.write()
        assert self._file is not None
        self._file.finish(self._growing, self.of, self._note)
        self._file = None
        self.finished[self._growing] = self._note
        self._note = PartNote(0, 0, Tally())

    def _part(self, number: int) -> Path:
        return parts_folder(self.path) / part_name(number)

    @property
    def _schema(self) -> "pa.Schema":
        return schema(self.columns)


def note_of_part(file: Path, of: str, parts: Sequence[range]) -> PartNote | None:
    """The note of a finished part; None if it is gone or damaged, is a part of something else, or was cut otherwise.

    Args:
        file: the part.
        of: what it is to be a part of (see ``Output``).
        parts: the records of each part; an older version may have cut them otherwise.
    """
    number, note = int(file.stem), checked_note(file, of)
    return note if note is not None and number < len(parts) and note.records == len(parts[number]) else None


def parts_folder(path: Path) -> Path:
    """Where the parts of a stage's file are kept until they are joined."""
    return path.with_suffix(".parts")


def earlier_file(path: Path) -> Path:
    """The file of the same rows that was finished before, while columns are added to it."""
    return parts_folder(path) / EARLIER


def keep_earlier(path: Path) -> None:
    """Keep a finished file beside the parts of the one that is to take its place."""
    with explained(path):
        parts_folder(path).mkdir(exist_ok=True)
        try:
            os.link(path, earlier_file(path))
        except OSError:  # a file system without links
            with path.open("rb") as file, replacing(earlier_file(path), of_run=True) as copy:
                shutil.copyfileobj(file, copy)
        for folder in (parts_folder(path), path.parent):  # before the manifest says that it is there
            sync_folder(folder)


def has_parts(path: Path) -> bool:
    """Whether anything of a stage's file is finished and not yet joined."""
    return any(PART_NAME.fullmatch(file.name) for file in parts_folder(path).glob("*.parquet"))


def records_kept(path: Path) -> int:
    """Records of input whose rows are in finished parts of a stage's file; it may be growing meanwhile."""
    notes = (read_note(file) for file in parts_folder(path).glob("*.parquet") if PART_NAME.fullmatch(file.name))
    return sum(note.records for note in notes if note is not None)


def drop_parts(path: Path) -> None:
    """Remove the parts of a stage's file, if there are any."""
    shutil.rmtree(parts_folder(path), ignore_errors=True)


def leave_out(path: Path, of: str, wrong: Callable[[Tally], object]) -> None:
    """Remove the parts of an unfinished file of whose counts this holds."""
    with explained(path):
        for file in parts_folder(path).glob("*.parquet"):
            note = checked_note(file, of) if PART_NAME.fullmatch(file.name) else None
            if note is not None and wrong(note.tally):
                file.unlink()


def reopen(path: Path, of: str, wrong: Callable[[Tally], object]) -> None:
    """Take a finished file apart again, leaving out the parts of whose counts this holds. The file itself stays.

    Args:
        path: the file.
        of: what its parts are parts of (see ``Output``).
        wrong: tells from a part's counts that it is to be made again.

    Raises:
        InputError: the file is not as the stage wrote it.
        RunError: the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if is_whole(path) is False:
            raise ValueError("its digest is that of other bytes")
        metadata = pq.read_metadata(path)
        notes = [PartNote.from_json(note) for note in orjson.loads(metadata.metadata[NOTES])]
        if metadata.num_row_groups != sum(note.groups for note in notes):
            raise ValueError(f"{metadata.num_row_groups} row groups of {len(notes)} parts")
        drop_parts(path)
        with explained(path):
            parts_folder(path).mkdir()
        first = 0
        for number, note in enumerate(notes):
            groups = range(first, first := first + note.groups)
            if not wrong(note.tally):
                part = PartFile(parts_folder(path) / part_name(number), pq.read_schema(path))
                try:
                    for table in row_groups(path, groups):
                        part.write(table)
                    part.finish(number, of, note)
                finally:
                    part.drop()  # unless it is finished
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not as the stage wrote it: {error}", fix="Make it anew with --fresh.") from error


def _join(
    path: Path, parts: Sequence[Path], notes: Sequence[PartNote], schema: "pa.Schema", check: Callable[[], None]
) -> None:
    """Write all parts to one file, row group by row group."""
    with writing(path, schema, compression="zstd") as (writer, metadata):
        for part, note in zip(parts, notes, strict=True):
            for table in _row_groups_of(part, note):
                write_group(writer, table)
        metadata[NOTES] = orjson.dumps(list(notes))
        check()  # that took its time


def _row_groups_of(part: Path, note: PartNote) -> "Iterator[pa.Table]":
    """The rows of a part.

    Raises:
        RunError: it is damaged.
    """
    import pyarrow as pa

    try:
        if not is_whole(part):
            raise OSError("its digest is that of other bytes")
        yield from row_groups(part, range(note.groups))
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"{part} is damaged: {error}", fix="Start the same command again: it is made anew from the stored calls."
        ) from error
