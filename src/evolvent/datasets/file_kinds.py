"""Whether a file of text is what its name says: it may be in another encoding, compressed, or data of another kind."""

import re
from pathlib import Path

import orjson

from evolvent.errors import InputError

# What a file of another kind begins with, what that is called, and what to do.
_BINARY = {
    b"\x1f\x8b": ("compressed by gzip", "Rename it to {name}.gz."),
    b"PAR1": ("Parquet", "Rename it to {stem}.parquet."),
    b"PK\x03\x04": ("a zip archive, as spreadsheets are", "Unpack it, or save the spreadsheet as CSV."),
}
_JSON_BEGINS = re.compile(rb'\[\s*\{\s*"|\{\s*\n\s*"[^"\n]*"\s*:')  # a list of objects, or one over several lines
# Columns that name a CSV file's kind.
_HEADERS = {b"instruction", b"prompt", b"question", b"messages", b"conversations"}


def check_kind(path: Path, head: bytes, kind: str) -> None:
    """Check that a file of text is in UTF-8 and of the kind that its name says.

    Args:
        path: the file.
        head: its beginning.
        kind: ``json``, ``csv`` or ``txt``.

    Raises:
        InputError: its beginning says that it is not.
    """
    encoding = _encoding(head)
    if encoding:
        raise InputError(
            f"{path} is {encoding}, not UTF-8",
            fix=f"Convert it: iconv -f {encoding} -t UTF-8 {path.name} > new-{path.name}",
        )
    stem = path.name.removesuffix(".gz").removesuffix(Path(path.name.removesuffix(".gz")).suffix)
    for start, (what, fix) in _BINARY.items():
        if head.startswith(start):
            raise InputError(f"{path} is {what}, not text", fix=fix.format(name=path.name, stem=stem))
    found = _found(head.removeprefix(b"\xef\xbb\xbf").lstrip())
    if found and not found.startswith(kind):
        wanted = {"json": "JSON", "csv": "CSV", "txt": "one instruction a line"}[kind]
        raise InputError(f"{path} is {found.upper()}, not {wanted}", fix=f"Rename it: {stem}.{found}")


def _encoding(head: bytes) -> str | None:
    """The encoding of UTF-16 or UTF-32 that a text's beginning is in, with or without a mark; None if in neither."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    zeros = "".join("0" if byte == 0 else "x" for byte in head[:4])
    return {"x0x0": "UTF-16LE", "0x0x": "UTF-16BE", "x000": "UTF-32LE", "000x": "UTF-32BE"}.get(zeros)


def _found(head: bytes) -> str | None:
    """The kind that a text's beginning is plainly of; None if it is of none."""
    first = head.split(b"\n", 1)[0].strip()
    if _JSON_BEGINS.match(head):
        return "json"
    if first.startswith(b"{"):
        try:
            orjson.loads(first)
        except orjson.JSONDecodeError:
            return None
        return "jsonl"
    names = re.split(rb"[,\t]", first)
    return "csv" if len(names) > 1 and {name.strip(b' "').lower() for name in names} & _HEADERS else None
