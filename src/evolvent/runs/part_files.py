"""A part of a stage's output as a file: which part it is and of what, and what is known of its rows."""

import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from evolvent.errors import EvolventError
from evolvent.runs.tally import Tally
from evolvent.runs.whole_parquet import is_whole, write_group, writing
from evolvent.storage_errors import explained

if TYPE_CHECKING:
    import pyarrow as pa

PART_NAME = re.compile(r"\d{6,}\.parquet")
NOTES = b"evolvent.parts"


@dataclass(slots=True)
class PartNote:
    """What is known of a finished part.

    Attributes:
        end: the position in the input at which the next part begins.
        records: records of input.
        tally: what became of its rows.
        groups: row groups that they are.
    """

    end: int
    records: int
    tally: Tally
    groups: int = 0

    @classmethod
    def from_json(cls, found: "dict[str, Any]") -> "PartNote":
        """The note of which orjson made this."""
        return cls(found["end"], found["records"], Tally.from_json(found["tally"]), found.get("groups", 1))


class PartFile:
    """The file of a part while it grows; there under its name once it is finished.

    Args:
        path: its name then.
        schema: of its rows.
    """

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        self._path = path
        self._open = ExitStack()
        self._writer, self._metadata = self._open.enter_context(writing(path, schema, compression="lz4"))

    def write(self, table: "pa.Table") -> None:
        """Write rows as one more row group; where they cannot be written the file is removed.

        Raises:
            InputError, RunError: the disk is full, or the folder went away.
        """
        try:
            with explained(self._path):
                write_group(self._writer, table)
        except BaseException:
            self.drop()
            raise

    def finish(self, number: int, of: str, note: PartNote) -> None:
        """Put it in place, with its number, what it is a part of, and what is known of it."""
        self._metadata[NOTES] = orjson.dumps({"part": number, "of": of, "note": note})
        self._open.close()

    def drop(self) -> None:
        """Remove it."""
        with suppress(_Dropped, EvolventError), self._open:
            raise _Dropped


class _Dropped(Exception):
    """Ends the writing of a file that is not wanted."""


def checked_note(path: Path, of: str) -> PartNote | None:
    """The note of a part; None if the file is not whole, or is the part of another number or of something else."""
    found = _read(path)
    return found.note if found and (found.part, found.of) == (int(path.stem), of) and is_whole(path) else None


def read_note(path: Path) -> PartNote | None:
    """The note of a part, whose other bytes are not looked at; None if it cannot be read."""
    found = _read(path)
    return found.note if found else None


class _Part(NamedTuple):
    """What a part's footer says of it."""

    part: int
    of: str
    note: PartNote


def _read(path: Path) -> _Part | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = orjson.loads((pq.read_metadata(path).metadata or {})[NOTES])
        return _Part(found["part"], found["of"], PartNote.from_json(found["note"]))
    except (pa.ArrowException, AttributeError, KeyError, OSError, TypeError, ValueError):
        return None
