"""Rows in a temporary file: what can be read only once, and what is written to a file whose columns come first.

The system deletes the file with the process, however that ends.
"""

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import orjson

from evolvent.datasets.formats import Row
from evolvent.files import TEMPORARY
from evolvent.storage_errors import explained


def spool() -> IO[bytes]:
    """A temporary file without a name: nothing is left of it, however the process ends."""
    with explained(TEMPORARY):
        return tempfile.TemporaryFile(prefix="evolvent-")


class SpooledRows:
    """Rows to be written, and what their columns hold: only then are a CSV file's header and Parquet's types known.

    Args:
        rows: the rows.
        first: columns that come first and are there even if no row has them.
    """

    def __init__(self, rows: Iterable[Row], first: tuple[str, ...]) -> None:
        self.count = 0
        self.kinds: dict[str, set[str]] = {}
        self._file = spool()
        for row in rows:
            self.count += 1
            for name, value in row.items():
                self.kinds.setdefault(name, set()).add("text" if type(value) is str else _kind(value))
            self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()
        others = sorted(name for name in self.kinds if name not in first and name != "meta")
        self.names = [
            *(name for name in first if name in self.kinds or name != "system"),
            *others,
            *(["meta"] if "meta" in self.kinds else []),
        ]

    def lines(self) -> Iterator[bytes]:
        """The rows as JSON, from the first."""
        self._file.seek(0)
        yield from self._file


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(1 << 63) <= value < 1 << 63 else "large"
    if isinstance(value, float):
        return "float"
    if isinstance(value, list) and all(type(item) is str for item in value):
        return "texts"
    return "object"


def as_text(value: object) -> str | None:
    """A value for a column of text: what is neither text nor null as JSON."""
    return value if isinstance(value, str | None) else orjson.dumps(value).decode()
