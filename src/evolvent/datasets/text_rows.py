"""Rows of text files: one instruction a line. Blank lines are no rows."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from evolvent.datasets.rows import SourceRow, check_encoding, opened


def text_rows(path: Path, start: int = 0) -> Iterator[SourceRow]:
    """The lines of a text file as instructions, in order.

    Args:
        path: the file.
        start: how many rows to pass over.

    Raises:
        InputError: the file cannot be read.
    """
    yield from islice(_rows(path), start, None)


def _rows(path: Path) -> Iterator[SourceRow]:
    with opened(path) as file:
        check_encoding(path, file.read(2))
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                yield SourceRow(number, None, f"not UTF-8: {error}")
                continue
            if text:
                yield SourceRow(number, {"instruction": text})
