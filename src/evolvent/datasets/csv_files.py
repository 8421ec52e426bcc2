"""CSV files, read and written. Every cell is text; what is none is written as JSON."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import orjson

from evolvent.datasets.file_kinds import check_kind
from evolvent.datasets.formats import FORMATS, Row
from evolvent.datasets.rows import SourceRow, is_utf8, opened
from evolvent.datasets.spooled import SpooledRows, as_text
from evolvent.errors import InputError

FIELD_LIMIT = 1 << 27
SEPARATORS = ",;\t|"


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
    for line, cells in islice(lines, start, None):
        yield _row(header, cells, line)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header, then the cells of each row, with the lines on which they begin."""
    # An unclosed quote would otherwise read the whole file into one field; the limit is one for the whole process.
    csv.field_size_limit(FIELD_LIMIT)
    with opened(path) as file:
        start = file.readline(FIELD_LIMIT)
        check_kind(path, start, "csv")
        separator = _separator(start)
        spaced = separator == "," and _is_spaced(start)
        file.seek(0)
        # What is not UTF-8 becomes surrogates, so that the row can be named.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True, skipinitialspace=spaced, delimiter=separator)
        yield 1, [name.strip() if spaced else name for name in _header(reader, path)]
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


def _separator(header: bytes) -> str:
    """What separates the cells: a comma, or what the header has instead: a semicolon, a tab, a bar."""
    known = {column for format in FORMATS.values() for column in format.columns}
    line = header.decode("utf-8-sig", "replace").rstrip("\r\n")
    cells = {sign: [cell.strip(' "') for cell in line.split(sign)] for sign in SEPARATORS}
    # the sign that gives most columns of a format; if none gives any, the first that separates anything
    return max(SEPARATORS, key=lambda sign: (len(known.intersection(cells[sign])), len(cells[sign]) > 1))


def _is_spaced(header: bytes) -> bool:
    """Whether a file has a blank behind each comma: it then belongs to the separator, and not to the cells."""
    others = header.decode("utf-8", "replace").split(",")[1:]
    known = {column for format in FORMATS.values() for column in format.columns}
    return all(name.startswith(" ") for name in others) and any(name.strip(' "\r\n') in known for name in others)


def _header(reader: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise InputError(
            f"{path}, line 1: broken CSV: {error}", fix="Write the column names in the first line."
        ) from None
    twice = sorted({name for name in header if header.count(name) > 1})
    if not header or twice:
        what = f"the column {', '.join(map(repr, twice))} comes twice" if twice else "there are no column names"
        raise InputError(f"{path}, line 1: {what}", fix="Write each column's name once in the first line.")
    return header


def _row(header: list[str], cells: list[str], line: int) -> SourceRow:
    if len(cells) != len(header):
        return SourceRow(line, None, f"{len(cells)} cells where the header has {len(header)}")
    for name, cell in zip(header, cells, strict=True):
        if not is_utf8(cell):
            return SourceRow(line, None, f'column "{name}" is not UTF-8')
    return SourceRow(line, dict(zip(header, cells, strict=True)))


def write_csv(rows: Iterable[Row], first: tuple[str, ...], file: IO[bytes]) -> int:
    """Write rows as CSV with a header: what is not text as JSON, a column that is null or missing as an empty cell.

    Args:
        rows: the rows.
        first: the format's columns.
        file: where to write.

    Returns:
        The number of rows.
    """
    spooled = SpooledRows(rows, first)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(spooled.names)
    for line in spooled.lines():
        row = orjson.loads(line)
        writer.writerow([as_text(row.get(name)) or "" for name in spooled.names])
    text.detach()
    return spooled.count
