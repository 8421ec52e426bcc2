"""load: instruction data in any format becomes seeds, after one pass that checks every row.

The pass keeps nothing in memory but counts: equal rows are found on disk, and a second reading makes the records.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from evolvent.datasets.conversations import BadRow, kind_of
from evolvent.datasets.detection import find_format
from evolvent.datasets.formats import FORMATS, Content, check_format, read_row
from evolvent.datasets.mapping import check_mapping, mapped
from evolvent.datasets.rows import json_default, why_not_json
from evolvent.datasets.sources import Source, open_source
from evolvent.errors import InputError, RunError
from evolvent.records import Record, content_digest

SHOWN = 5
BATCH = 10_000


class Problem(NamedTuple):
    """A row that cannot be used: where it stands and what is wrong with it."""

    source: str
    line: int | None
    row: int
    what: str

    def __str__(self) -> str:
        place = f"row {self.row}" if self.line is None else f"line {self.line} (row {self.row})"
        return f"{self.source}, {place}: {self.what}"


class _Checked(NamedTuple):
    content: Content
    digest: str
    meta: str | None


@dataclass(slots=True)
class _Tally:
    """What the checking pass counts."""

    rows: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)
    hash: Any = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, slots=True)
class InstructionData:
    """Checked instruction data; iterating over it, as often as wanted, yields its seeds in order.

    Attributes:
        name: where it comes from, as the user named it.
        format: the format it was read in.
        rows: number of good rows, the number of records it yields.
        skipped: number of bad rows, left out.
        duplicates: number of good rows that say exactly what an earlier one says; they are kept.
        digest: hash of the content, the format and the mapping: the same input has the same digest.
        problems: the first bad rows, five at most.
    """

    name: str
    format: str
    rows: int
    skipped: int
    duplicates: int
    digest: str
    problems: tuple[Problem, ...]
    _source: Source = field(repr=False)
    _mapping: dict[str, str] = field(repr=False)
    _limit: int | None = field(repr=False)
    _repeats: sqlite3.Connection = field(repr=False)

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Record]:
        repeats = self._repeats.execute("SELECT position, occurrence FROM repeats ORDER BY position")
        position, occurrence = next(repeats, (-1, 0))
        for index, source_row in enumerate(islice(self._source.read(), self._limit)):
            try:
                if source_row.problem is not None:
                    continue
                content, digest, meta = _check(source_row.value, self.format, self._mapping)
            except BadRow:
                continue  # counted when the data was checked
            seed_id = digest
            if index == position:
                seed_id = f"{digest}-{occurrence}"
                position, occurrence = next(repeats, (-1, 0))
            instruction, input, output, messages = content
            yield Record(seed_id, seed_id, index, instruction, input, output, messages, meta=meta)


def load(
    data: str | Path | Iterable[Mapping[str, Any]],
    *,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> InstructionData:
    """Read and check instruction data.

    Args:
        data: a path (JSON, JSON Lines, CSV, each also .gz, or Parquet), a dataset of the Hugging Face Hub
            (``ORG/NAME``, ``ORG/NAME:SPLIT``, ``ORG/NAME:CONFIG:SPLIT``), a ``datasets.Dataset``, or dicts.
        format: alpaca, sharegpt, messages, prompt_completion, preference or turns; found from the columns if None.
        map: a format's column to the data's, ``{"instruction": "question"}``; ``instances.0.input`` reaches inside.
        skip_bad: leave out rows that cannot be used, and count them, instead of stopping.
        limit: the first so many rows, bad ones counted.

    Returns:
        The data, checked from the first row to the last (or to ``limit``).

    Raises:
        InputError: the data cannot be read, fits no format, has no good row, or has bad rows without ``skip_bad``.
        RunError: the disk is full (temporary files hold what can be read only once, and the duplicates).
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}", fix="Give 1 or more.")
    mapping = dict(map or {})
    if format is not None:
        check_format(format, FORMATS)
    check_mapping(mapping, format)
    source = open_source(data, limit)
    if format is None:
        format = find_format(source, mapping, limit)
    tally = _Tally()
    try:
        repeats = _check_all(source, format, mapping, limit, tally)
    except sqlite3.Error as error:
        raise RunError(
            f"Duplicates cannot be counted: {error}", fix="Make room for temporary files (TMPDIR)."
        ) from None
    if tally.skipped and (not skip_bad or not tally.rows):
        raise _bad_rows(source, tally)
    tally.hash.update(orjson.dumps([format, mapping], option=orjson.OPT_SORT_KEYS))
    return InstructionData(
        name=source.name,
        format=format,
        rows=tally.rows,
        skipped=tally.skipped,
        duplicates=repeats.execute("SELECT count(*) FROM repeats").fetchone()[0],
        digest=tally.hash.hexdigest(),
        problems=tuple(tally.problems),
        _source=source,
        _mapping=mapping,
        _limit=limit,
        _repeats=repeats,
    )


def _check(value: object, format: str, mapping: Mapping[str, str]) -> _Checked:
    """Read one row and check every text of it.

    Raises:
        BadRow: it cannot be used.
    """
    if not isinstance(value, dict):
        if not isinstance(value, Mapping):
            raise BadRow(f"{kind_of(value)}, not an object with columns")
        value = dict(value)
    row = mapped(value, mapping) if mapping else value
    try:
        content, extras = read_row(row, format)
        instruction, input, output, messages = content
        digest = content_digest(instruction, input, output, messages)
        meta = orjson.dumps(extras, default=json_default, option=orjson.OPT_SORT_KEYS).decode() if extras else None
    except TypeError as error:  # what orjson raises for a lone surrogate, too
        raise BadRow(why_not_json(value, error)) from None
    if "\0" in instruction or "\0" in input or "\0" in output or (meta and "\\u0000" in meta) or _nul_inside(messages):
        where = _nul_path(value)
        if where is not None:
            raise BadRow(f'column "{where}" holds a NUL byte')
    if not instruction or instruction.isspace():
        if format in ("alpaca", "prompt_completion") and row.get(FORMATS[format].columns[0]) is None:
            raise BadRow(f'column "{FORMATS[format].columns[0]}" is missing or null; columns found: {", ".join(value)}')
        raise BadRow("the instruction is empty" if messages is None else "the first user turn is empty")
    return _Checked(content, digest, meta)


def _nul_inside(messages: list[Any] | None) -> bool:
    return messages is not None and any("\0" in turn["content"] for turn in messages)


def _nul_path(value: object) -> str | None:
    """Where a value holds a NUL byte, as a path of keys; None if it holds none."""
    if isinstance(value, str):
        return "" if "\0" in value else None
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        inner = "" if isinstance(key, str) and "\0" in key else _nul_path(item)
        if inner is not None:
            return f"{key}.{inner}" if inner else str(key)
    return None


def _check_all(
    source: Source, format: str, mapping: Mapping[str, str], limit: int | None, tally: _Tally
) -> sqlite3.Connection:
    """The checking pass: count rows and bad rows, hash the content, find rows that repeat an earlier one.

    The database has no name: sqlite keeps it in a temporary file that goes with the connection, and sorts it on disk.
    """
    repeats = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    repeats.execute("PRAGMA journal_mode = OFF")
    repeats.execute("PRAGMA cache_size = -2000")
    repeats.execute("CREATE TABLE seen (position INTEGER PRIMARY KEY, digest INTEGER)")
    repeats.execute("BEGIN")
    seen: list[tuple[int, int]] = []
    for index, source_row in enumerate(islice(source.read(), limit)):
        try:
            if source_row.problem is not None:
                raise BadRow(source_row.problem)
            _, digest, meta = _check(source_row.value, format, mapping)
        except BadRow as error:
            tally.skipped += 1
            if len(tally.problems) < SHOWN:
                tally.problems.append(Problem(source.name, source_row.line, index + 1, str(error)))
            continue
        tally.rows += 1
        tally.hash.update(f"{index}\0{digest}\0{meta or ''}\n".encode())
        seen.append((index, int(digest, 16) - (1 << 63)))
        if len(seen) == BATCH:
            repeats.executemany("INSERT INTO seen VALUES (?, ?)", seen)
            seen.clear()
    repeats.executemany("INSERT INTO seen VALUES (?, ?)", seen)
    repeats.execute("COMMIT")
    repeats.execute(
        "CREATE TABLE repeats AS SELECT position, occurrence FROM (SELECT position, row_number() OVER "
        "(PARTITION BY digest ORDER BY position) AS occurrence FROM seen) WHERE occurrence > 1 ORDER BY position"
    )
    repeats.execute("DROP TABLE seen")
    if not tally.rows and not tally.skipped:
        raise InputError(f"{source.name} has no rows", fix="Give data with at least one row.")
    return repeats


def _bad_rows(source: Source, tally: _Tally) -> InputError:
    count = tally.rows + tally.skipped
    shown = "\n".join(f"  {problem}" for problem in tally.problems)
    more = f"\n  and {tally.skipped - len(tally.problems)} more" if tally.skipped > len(tally.problems) else ""
    what = f"{tally.skipped:,} of {count:,} rows of {source.name} cannot be used:\n{shown}{more}"
    if not tally.rows:
        return InputError(what, fix="No row can be used. Check --format and --map.")
    return InputError(what, fix="Correct them, or leave them out with --skip-bad.")
