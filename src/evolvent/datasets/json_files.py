"""JSON files, read and written: one object a line (JSON Lines), one list of objects, or one object over several lines.

The first character of a file tells which. A list is cut into its elements by a scan for strings and brackets, and each
element is parsed alone: memory holds one element and one block of the file, whatever the length of the list.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import IO

import orjson

from evolvent.datasets.file_kinds import check_kind
from evolvent.datasets.formats import Row
from evolvent.datasets.rows import SourceRow, opened, parse_json
from evolvent.errors import InputError

BLOCK = 1 << 18
# By the number of a row the byte that it begins at, and how many lines are before it; noted of every so-manieth row.
Begins = dict[int, tuple[int, int]]
EVERY = 4_096
# A string or a bracket that is not closed would otherwise read the whole file into one row.
ROW_LIMIT = 1 << 27
QUOTE, CLOSING_BRACE = b'"}'
# Whole strings, brackets, and last a quote whose string ends in a later block.
TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|"', re.DOTALL)


def json_rows(path: Path, start: int = 0, begins: Begins | None = None) -> Iterator[SourceRow]:
    """The rows of a JSON or JSON Lines file in order.

    Args:
        path: the file.
        start: how many rows to pass over.
        begins: where rows of JSON Lines begin, as far as earlier readings came, filled as this one goes on.

    Raises:
        InputError: the file cannot be read, or it is a list that is broken between its elements.
    """
    with opened(path) as file:
        head = file.read(BLOCK)
        check_kind(path, head, "json")
        bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        first = head[bom:].lstrip()[:1]
        file.seek(bom)
        if first == b"[":
            yield from islice(_list_rows(file, path), start, None)
        elif first == b"{" and (whole := _one_object(file)) is not None:
            yield from islice([SourceRow(1, whole)], start, None)
        else:
            file.seek(bom)
            yield from _line_rows(file, path, start, {} if begins is None else begins)


def _one_object(file: IO[bytes]) -> object:
    """The object that a file is as a whole, if its first line is none yet; else None."""
    text = file.readline(ROW_LIMIT)
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        text += file.read(ROW_LIMIT - len(text))
    else:
        return None
    try:
        return None if file.read(1) else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def is_lines(path: Path) -> bool:
    """Whether a file seems to be JSON Lines, or one object."""
    with path.open("rb") as file:
        return file.read(BLOCK).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def _line_rows(file: IO[bytes], path: Path, start: int, begins: Begins) -> Iterator[SourceRow]:
    row = max((known for known in begins if known <= start), default=0)
    place, before = begins.get(row, (file.tell(), 0))
    file.seek(place)
    for number in count(before + 1):
        text = file.readline(ROW_LIMIT + 1)
        if not text:
            return
        if number == 1 and text.strip() == b"{":
            raise InputError(
                f"{path} holds JSON objects over several lines",
                fix=f"Write each on one line, or a list of them: jq -c . {path.name} > rows.jsonl",
            )
        if len(text) > ROW_LIMIT:
            raise _too_long(path, number)
        if not text.isspace():
            if row >= start:
                yield parse_json(text, number)
            row += 1
            if row % EVERY == 0:
                begins[row] = file.tell(), number


def _list_rows(file: IO[bytes], path: Path) -> Iterator[SourceRow]:
    buffer = file.read(BLOCK)
    begin = buffer.index(b"[") + 1  # of what is not yet yielded: a comma, then an element
    line = 1 + buffer.count(b"\n", 0, begin)
    scanned, element, depth, first = begin, begin, 0, True
    while True:
        for token in TOKENS.finditer(buffer, scanned):
            start, end = token.span()
            kind = buffer[start]
            if kind == QUOTE:
                if end - start == 1:
                    scanned = start
                    break
            elif kind in b"[{":
                element = element if depth else start
                depth += 1
            elif depth > 1:
                depth -= 1
            elif depth == 1:
                depth = 0
                gap = buffer[begin:element]
                if first or gap != b",":
                    yield from _scalars(gap, path, line, first=first, last=False)
                    line += gap.count(b"\n")
                text = buffer[element:end]
                yield parse_json(text, line)
                line += text.count(b"\n")
                begin, first = end, False
            elif kind == CLOSING_BRACE:
                raise _broken(path, line + buffer.count(b"\n", begin, start), "a } that closes nothing")
            else:  # the end of the list
                yield from _scalars(buffer[begin:start], path, line, first=first, last=True)
                rest = buffer[end:].strip() or file.read(BLOCK).strip()
                if rest:
                    raise _broken(path, line + buffer.count(b"\n", begin, end), "text follows the end of the list")
                return
        else:
            scanned = len(buffer)
        if len(buffer) - begin > ROW_LIMIT:
            raise _too_long(path, line + (buffer.count(b"\n", begin, element) if depth else 0))
        # An element longer than a block is scanned again from its open string: longer blocks keep that rare.
        more = file.read(max(BLOCK, len(buffer) - begin))
        if not more:
            raise _broken(path, line, "what follows the row that ends here is not closed")
        buffer = buffer[begin:] + more
        scanned, element, begin = scanned - begin, element - begin, 0


def _scalars(gap: bytes, path: Path, line: int, *, first: bool, last: bool) -> Iterator[SourceRow]:
    """What stands between two elements: a comma, or values that are no rows (numbers, texts), which are bad rows."""
    text = gap.strip()
    line += gap.count(b"\n", 0, len(gap) - len(gap.lstrip(b" \t\r\n,")))
    if text == (b"" if first or last else b","):
        return
    if not first:
        if not text.startswith(b","):
            raise _broken(path, line, "a comma is missing between two rows")
        text = text[1:]
    if not last:
        if not text.endswith(b","):
            raise _broken(path, line, "a comma is missing between two rows")
        text = text[:-1]
    try:
        values = orjson.loads(b"[" + text + b"]")
    except orjson.JSONDecodeError as error:
        raise _broken(path, line, error.msg) from None
    if not values:
        raise _broken(path, line, "a comma without a row after it")
    for value in values:
        yield SourceRow(line, value)


def _too_long(path: Path, line: int) -> InputError:
    return _broken(path, line, f"the row that begins here is longer than {ROW_LIMIT:,} bytes, or is not closed")


def _broken(path: Path, line: int, what: str) -> InputError:
    return InputError(f"{path}, line {line}: broken JSON: {what}", fix="Correct the file there, or make it again.")


def write_jsonl(rows: Iterable[Row], file: IO[bytes]) -> int:
    """Write rows as JSON Lines; the number of rows."""
    return sum(1 for row in rows if file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)))


def write_json(rows: Iterable[Row], file: IO[bytes]) -> int:
    """Write rows as a JSON list, one a line; the number of rows."""
    separators = chain([b"[\n"], repeat(b",\n"))
    written = sum(1 for row, sign in zip(rows, separators, strict=False) if file.write(sign + orjson.dumps(row)))
    file.write(b"\n]\n" if written else b"[]\n")
    return written
