"""Rows as they stand in a file: each with its line, or with the reason why it is none. Files of plain text."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

import orjson

from evolvent.datasets.file_kinds import check_kind
from evolvent.errors import InputError

HEAD = 1 << 16


class SourceRow(NamedTuple):
    """A row, or why there is none, and the line it begins on (None where there are no lines)."""

    line: int | None
    value: object
    problem: str | None = None


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, through gzip if its name ends in .gz.

    Raises:
        InputError: while it is read, if the compressed data is cut off or damaged, or the file cannot be read.
    """
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except EOFError:
        raise InputError(f"{path} is cut off: its gzip data ends too early", fix="Copy or download it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is not sound gzip data: {error}",
            fix="Copy or download it again; if it is not compressed, take the .gz off its name.",
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", fix="Check the file.") from None


def parse_json(text: bytes, line: int) -> SourceRow:
    """One JSON value, or why it is none."""
    try:
        return SourceRow(line, orjson.loads(text))
    except orjson.JSONDecodeError as error:
        return _parse_again(text, line, error)


def _parse_again(text: bytes, line: int, error: orjson.JSONDecodeError) -> SourceRow:
    """What orjson refuses: the standard library takes lone surrogates and NaN, so that the column can be named."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as reason:
        return SourceRow(
            line, None, f"not UTF-8: byte 0x{text[reason.start]:02x} at byte {reason.start + 1} of the row"
        )
    if "\0" in decoded:
        return SourceRow(line, None, f"a NUL byte at character {decoded.index(chr(0)) + 1} of the row")
    try:
        return SourceRow(line, json.loads(decoded))
    except (ValueError, RecursionError):
        return SourceRow(line, None, f"broken JSON: {error.msg} at character {error.pos + 1}")


def without_utf8(value: object) -> str | None:
    """Where a value holds a lone surrogate, as a path of keys; None if it holds none."""
    if isinstance(value, str):
        return None if value.isascii() or is_utf8(value) else ""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        if isinstance(key, str) and not is_utf8(key):
            return "a key"
        inner = without_utf8(item)
        if inner is not None:
            return f"{key}.{inner}" if inner else str(key)
    return None


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_default(value: object) -> object:
    """What orjson cannot write but has a plain form: what numpy holds; times, decimals as text; bytes in base64.

    Raises:
        TypeError: it has none.
    """
    found = plain(value)
    if found is not value:
        return found
    if isinstance(value, date | time):  # pandas' own, too
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"a {type(value).__name__} is neither text, number, list nor object")


def plain(value: object) -> object:
    """A value of a row in memory as Python's own: numpy's arrays are lists, and what is missing is null."""
    if value is None or isinstance(value, bool | int) or type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)
    if type(value).__name__ in ("NaTType", "NAType") or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if type(value).__name__ in ("datetime64", "timedelta64"):
        return str(value)  # in nanoseconds, which Python's own do not hold
    tolist = getattr(value, "tolist", None)
    return plain(tolist()) if callable(tolist) else value


def why_not_json(row: object, error: TypeError) -> str:
    """Why a row cannot be written as JSON, with the column that is to blame."""
    try:
        where = without_utf8(row)
    except RecursionError:
        return "lists or objects are nested too deeply"
    if where is not None:
        return f'column "{where}" holds a lone surrogate (half of a character), which is not UTF-8'
    for column, value in row.items() if isinstance(row, dict) else ():
        try:
            orjson.dumps(value, default=json_default)
        except TypeError as cause:
            return f'column "{column}" cannot be written as JSON: {cause.__cause__ or cause}'
    return f"cannot be written as JSON: {error.__cause__ or error}"


def text_rows(path: Path, start: int = 0) -> Iterator[SourceRow]:
    """The lines of a text file as instructions, in order; blank lines are no rows.

    Args:
        path: the file.
        start: how many rows to pass over.

    Raises:
        InputError: the file cannot be read.
    """
    yield from islice(_lines(path), start, None)


def _lines(path: Path) -> Iterator[SourceRow]:
    with opened(path) as file:
        head = file.read(HEAD)
        check_kind(path, head, "txt")
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                yield SourceRow(number, None, f"not UTF-8: {error}")
                continue
            if text:
                yield SourceRow(number, {"instruction": text})
