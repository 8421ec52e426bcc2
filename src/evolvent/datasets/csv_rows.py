"""Rows of CSV files. Every cell is text, except those that a ``_json`` column names: they are JSON (tables.py)."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson

from evolvent.datasets.formats import Row
from evolvent.datasets.rows import SourceRow, check_encoding, is_utf8, opened
from evolvent.errors import InputError

FIELD_LIMIT = 1 << 27
JSON_CELLS = "_json"
OTHER_SEPARATORS = {";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


def csv_rows(path: Path, start: int = 0) -> Iterator[SourceRow]:
    """The rows of a CSV file with a header, in order.

    Args:
        path: the file.
        start: how many rows to pass over.

    Raises:
        InputError: the file cannot be read, or has no usable header.
    """
    lines = _lines(path)
    _, header = next(lines)
    coded = JSON_CELLS in header and _is_ours(path)
    for line, cells in islice(lines, start, None):
        yield _row(header, cells, line, coded)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header, then the cells of each row, with the lines on which they begin."""
    # An unclosed quote would otherwise read the whole file into one field; the limit is one for the whole process.
    csv.field_size_limit(FIELD_LIMIT)
    with opened(path) as file:
        check_encoding(path, file.read(2))
        file.seek(0)
        # What is not UTF-8 becomes surrogates, so that the row can be named.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True)
        yield 1, _header(reader, path)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InputError(
                    f"{path}: broken CSV in the row that begins at line {line}: {error}",
                    fix="Look for a quote that is not closed or not doubled.",
                ) from None
            if cells:
                yield line, cells


def _is_ours(path: Path) -> bool:
    """Whether every cell of the ``_json`` column lists columns, as those that we write do; else it is the user's."""
    lines = _lines(path)
    _, header = next(lines)
    position = header.index(JSON_CELLS)
    known = set(header)
    for _, cells in lines:
        if len(cells) == len(header) and cells[position]:
            try:
                names = orjson.loads(cells[position])
            except orjson.JSONDecodeError:  # what orjson raises for a lone surrogate, too
                return False
            if not isinstance(names, list) or not all(isinstance(name, str) and name in known for name in names):
                return False
    return True


def _header(reader: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise InputError(
            f"{path}, line 1: broken CSV: {error}", fix="Write the column names in the first line."
        ) from None
    other = next((sign for sign in OTHER_SEPARATORS if len(header) == 1 and sign in header[0]), None)
    if other is not None:
        raise InputError(
            f"{path}, line 1: the separator seems to be {OTHER_SEPARATORS[other]}, not a comma",
            fix=f'Write it with commas: python -c "import csv, sys; csv.writer(sys.stdout).writerows('
            f'csv.reader(sys.stdin, delimiter={other!r}))" < {path.name} > commas.csv',
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if not header or twice:
        what = f"the column {', '.join(twice)} comes twice" if twice else "there are no column names"
        raise InputError(f"{path}, line 1: {what}", fix="Write each column's name once in the first line.")
    return header


def _row(header: list[str], cells: list[str], line: int, coded: bool) -> SourceRow:
    if len(cells) != len(header):
        return SourceRow(line, None, f"{len(cells)} cells where the header has {len(header)}")
    row: Row = dict(zip(header, cells, strict=True))
    if coded:
        names = orjson.loads(row.pop(JSON_CELLS) or "[]")
        try:
            # An empty cell that is not JSON is a column that this row does not have.
            row = {
                name: orjson.loads(cell) if name in names else cell
                for name, cell in row.items()
                if cell or name in names
            }
        except orjson.JSONDecodeError as error:
            return SourceRow(line, None, f'a cell that the column "{JSON_CELLS}" names is not JSON: {error}')
    for name, cell in row.items():
        if isinstance(cell, str) and not is_utf8(cell):
            return SourceRow(line, None, f'column "{name}" is not UTF-8')
    return SourceRow(line, row)
