"""The files that stages write, and their parts: Parquet with checksums of its pages and a digest of the whole file.

A bit that flips anywhere is noticed: in the pages by their checksums, and everywhere by the digest, which is the
SHA-256 of the file with zeros in the digest's own place, among the footer's metadata, where any reader passes it over.
A part also knows which one it is and of what.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import orjson

from evolvent.errors import EvolventError, InputError
from evolvent.files import replacing
from evolvent.runs.tally import Tally
from evolvent.storage_errors import explained

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

DIGEST = b"evolvent.digest"
ZEROS = b"0" * 64
TAIL = 8  # the footer's length and the magic bytes, at the end of every Parquet file
MAGIC = b"PAR1"
BLOCK = 1 << 20
PART_NAME = re.compile(r"\d{6,}\.parquet")
NOTES = b"evolvent.parts"


@contextmanager
def writing(
    path: Path, schema: "pa.Schema", *, compression: str
) -> "Iterator[tuple[pq.ParquetWriter, dict[bytes, bytes]]]":
    """A Parquet file that is there whole, with its digest, when the block ends well, and else not at all.

    Args:
        path: the file.
        schema: of its tables.
        compression: lz4 or zstd.

    Yields:
        Its writer, and its metadata, to be filled.

    Raises:
        InputError, RunError: the disk is full, or the folder went away.
    """
    import pyarrow.parquet as pq

    metadata: dict[bytes, bytes] = {}
    with replacing(path, of_run=True) as file:
        options = {"compression": compression, "write_page_checksum": True}
        with pq.ParquetWriter(file, schema.remove_metadata(), **options) as writer:
            yield writer, metadata
            writer.add_key_value_metadata({**metadata, DIGEST: ZEROS})
        place = _place_of_digest(file)
        assert place is not None
        digest = _digest_around(file, place)
        file.seek(place)
        file.write(digest)


def write_group(writer: "pq.ParquetWriter", table: "pa.Table") -> None:
    """Write a table as one row group."""
    writer.write_table(table, row_group_size=max(table.num_rows, 1))


def is_whole(path: Path) -> bool | None:
    """Whether a file is byte for byte as it was written; None if it holds no digest of its own, or is no Parquet."""
    with explained(path, "read"), path.open("rb") as file:
        place = _place_of_digest(file)
        if place is None:
            return None
        file.seek(place)
        return file.read(len(ZEROS)) == _digest_around(file, place)


def check_whole(path: Path, fix: str) -> None:
    """Check a file that a stage wrote; one of another origin holds no digest, and passes.

    Raises:
        InputError: it is damaged.
    """
    if is_whole(path) is False:
        raise InputError(f"{path} is damaged: its bytes are not those that were written", fix=fix)


def row_groups(path: Path, numbers: Iterable[int]) -> "Iterator[pa.Table]":
    """Row groups of a file, one at a time, their checksums compared.

    Raises:
        pyarrow.ArrowException, OSError: the file is damaged.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for number in numbers:
            yield file.read_row_group(number, use_threads=False)


def _place_of_digest(file: IO[bytes]) -> int | None:
    """Where the digest of a file stands in it; None if it holds none."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length + TAIL > size:
        return None
    file.seek(size - TAIL - length)
    footer = file.read(length)
    found = footer.rfind(DIGEST)
    # Behind the key, in Thrift's compact encoding: the next field's header, and the length of its text.
    start = found + len(DIGEST) + 2
    if found < 0 or footer[start - 1 : start] != bytes([len(ZEROS)]):
        return None
    return size - TAIL - length + start


def _digest_around(file: IO[bytes], place: int) -> bytes:
    """The digest of a file whose digest stands there."""
    digest = hashlib.sha256()
    file.seek(0)
    left = place
    while left and (block := file.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
    digest.update(ZEROS)
    file.seek(place + len(ZEROS))
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest().encode()


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


def part_name(number: int) -> str:
    """The file of a part."""
    return f"{number:06}.parquet"


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
