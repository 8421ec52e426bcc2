"""load: instruction data in any format becomes seeds, after one pass that checks every row.

The pass keeps nothing in memory but counts: equal rows are found on disk, and a second reading makes the records. What
the pass found of a file can be kept, so that the same file is not checked again.
"""

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from evolvent.datasets.conversations import BadRow, kind_of
from evolvent.datasets.detection import check_mapping, find_format, mapped
from evolvent.datasets.formats import FORMATS, Content, check_format, read_row, says_none
from evolvent.datasets.rows import json_default, why_not_json
from evolvent.datasets.sources import Source, open_source
from evolvent.errors import InputError, RunError
from evolvent.files import TEMPORARY, file_digest, replacing
from evolvent.options import Reading, takes
from evolvent.records import Record, content_digest
from evolvent.storage_errors import explained, sqlite_words

SHOWN = 5
BATCH = 10_000
NOTED = ("name", "format", "rows", "skipped", "duplicates", "no_input", "digest")


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
    no_input: bool


@dataclass(slots=True)
class _Tally:
    """What the checking pass counts."""

    rows: int = 0
    skipped: int = 0
    no_input: int = 0
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
        no_input: number of good rows whose input only said that there is none: it is empty.
        digest: hash of the content, the format and the mapping: the same input has the same digest.
        problems: the first bad rows, five at most.
    """

    name: str
    format: str
    rows: int
    skipped: int
    duplicates: int
    no_input: int
    digest: str
    problems: tuple[Problem, ...]
    _source: Source = field(repr=False)
    _mapping: dict[str, str] = field(repr=False)
    _limit: int | None = field(repr=False)
    _repeats: sqlite3.Connection = field(repr=False)
    _known_as: str = field(repr=False, default="")

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Record]:
        return self.records()

    @property
    def seeks(self) -> bool:
        """Whether the n-th record stands in row n, and a reading that begins there does not make those before it."""
        return self._source.seeks and not self.skipped

    def records(self, start: int = 0) -> Iterator[Record]:
        """The seeds in order.

        Args:
            start: the row of the data to begin with, bad rows counted.

        Raises:
            InputError: the data is not what was checked: it changed meanwhile.
        """
        repeats = self._repeats.execute(
            "SELECT position, occurrence FROM repeats WHERE position >= ? ORDER BY position", (start,)
        )
        position, occurrence = next(repeats, (-1, 0))
        rest = None if self._limit is None else max(0, self._limit - start)
        for index, source_row in enumerate(islice(self._source.read(start), rest), start):
            try:
                if source_row.problem is not None:
                    raise BadRow(source_row.problem)
                content, digest, meta, _ = _check(source_row.value, self.format, self._mapping)
            except BadRow as error:
                if self.skipped:
                    continue  # counted when the data was checked
                raise InputError(
                    f"{self.name} has changed since it was checked: row {index + 1}: {error}",
                    fix="Start again when nothing writes to it.",
                ) from None
            seed_id = digest
            if index == position:
                seed_id = f"{digest}-{occurrence}"
                position, occurrence = next(repeats, (-1, 0))
            instruction, input, output, messages = content
            yield Record(seed_id, seed_id, index, instruction, input, output, messages, meta=meta)
        self.unchanged()

    def digest_of(self, rows: int) -> str:
        """The digest of the first so many good rows alone."""
        hash = hashlib.sha256()
        for record in islice(self.records(), rows):
            digest = content_digest(record.instruction, record.input, record.output, record.messages)
            _add(hash, record.seed_index, digest, record.meta)
        return _ended(hash, self.format, self._mapping)

    def unchanged(self) -> None:
        """Check that a file is still what was checked.

        Raises:
            InputError: it has changed.
        """
        self._source.unchanged()

    def keep(self, path: Path) -> None:
        """Keep what was found of a file, for ``load(known=path)``; several may at once. Nothing of data in no file.

        Raises:
            RunError, InputError: the disk is full, or the folder cannot be written.
        """
        if not self._known_as:
            return
        if (there := _kept(path, self._known_as)) is not None:
            there[1].close()
            return
        note = {name: getattr(self, name) for name in NOTED} | {"known_as": self._known_as}
        note["problems"] = [list(problem) for problem in self.problems]
        content = orjson.dumps(note).decode()
        with explained(TEMPORARY), tempfile.TemporaryDirectory(prefix="evolvent-") as own:
            made = Path(own, path.name)
            self._repeats.execute("VACUUM INTO ?", (str(made),))
            with closing(sqlite3.connect(made)) as kept, kept:
                kept.execute("PRAGMA journal_mode = OFF")
                kept.execute("DROP TABLE IF EXISTS note")
                kept.execute("CREATE TABLE note (content TEXT, seal TEXT)")
                kept.execute("INSERT INTO note VALUES (?, ?)", (content, _seal(content, kept)))
            with explained(path):
                if path.is_dir() and not path.is_symlink():  # nobody's: the name is a cache's
                    shutil.rmtree(path)
                elif path.is_symlink() or not path.is_file():  # a pipe would be written through
                    path.unlink(missing_ok=True)
            with made.open("rb") as whole, replacing(path) as file:
                shutil.copyfileobj(whole, file)


@takes(Reading)
def load(
    data: str | Path | Iterable[Mapping[str, Any]],
    *,
    reading: Reading,
    known: Path | None = None,
) -> InstructionData:
    """Read and check instruction data.

    Args:
        data: a path (JSON, JSON Lines, CSV, each also .gz, or Parquet), a dataset of the Hugging Face Hub
            (``ORG/NAME``, ``ORG/NAME:SPLIT``, ``ORG/NAME:CONFIG:SPLIT``), a ``datasets.Dataset``, or dicts.
        known: what ``InstructionData.keep`` wrote; the same file read in the same way is not checked again.

    Returns:
        The data, checked from the first row to the last (or to ``limit``).

    Raises:
        InputError: the data cannot be read, fits no format, has no good row, or has bad rows without ``skip_bad``.
        RunError: the disk is full (temporary files hold what can be read only once, and the duplicates).
    """
    format, skip_bad, limit, mapping = reading.format, reading.skip_bad, reading.limit, dict(reading.map or {})
    if format is not None:
        check_format(format, FORMATS)
    check_mapping(mapping, format)
    source = open_source(data, limit)
    known_as = ""
    if known is not None and source.path is not None:
        known_as = _known_as(source.path, [format, mapping, skip_bad, limit])
        found = _kept(known, known_as)
        if found is not None:
            note, repeats = found
            problems = tuple(Problem(*problem) for problem in note["problems"])
            noted = {name: note[name] for name in NOTED} | {"name": source.name}
            return InstructionData(
                **noted,
                problems=problems,
                _source=source,
                _mapping=mapping,
                _limit=limit,
                _repeats=repeats,
                _known_as=known_as,
            )
    if format is None:
        format = find_format(source, mapping, limit)
    tally = _Tally()
    try:
        repeats = _check_all(source, format, mapping, limit, tally)
    except sqlite3.Error as error:
        raise RunError(
            f"Duplicates cannot be counted: {sqlite_words(error)}", fix="Make room for temporary files (TMPDIR)."
        ) from None
    if tally.skipped and (not skip_bad or not tally.rows):
        raise _bad_rows(source, tally)
    return InstructionData(
        name=source.name,
        format=format,
        rows=tally.rows,
        skipped=tally.skipped,
        duplicates=repeats.execute("SELECT count(*) FROM repeats").fetchone()[0],
        no_input=tally.no_input,
        digest=_ended(tally.hash, format, mapping),
        problems=tuple(tally.problems),
        _source=source,
        _mapping=mapping,
        _limit=limit,
        _repeats=repeats,
        _known_as=known_as,
    )


def _add(hash: Any, index: int, digest: str, meta: str | None) -> None:
    """Add a good row to the digest of all."""
    hash.update(f"{index}\0{digest}\0{meta or ''}\n".encode())


def _ended(hash: Any, format: str, mapping: Mapping[str, str]) -> str:
    """The digest of the rows that were added, read in this way."""
    hash.update(orjson.dumps([format, mapping], option=orjson.OPT_SORT_KEYS))
    return str(hash.hexdigest())


def _known_as(path: Path, how: list[object]) -> str:
    """A hash of a file's bytes, of how it is to be read, and of what reads it."""
    return hashlib.sha256(orjson.dumps([file_digest(path), how, path.suffixes, version("evolvent")])).hexdigest()


def _kept(path: Path, known_as: str) -> tuple[dict[str, Any], sqlite3.Connection] | None:
    """What was kept of this very reading, and its repeated rows; None if nothing was."""
    if not path.is_file():
        return None
    repeats = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        content, seal = repeats.execute("SELECT content, seal FROM note").fetchone()
        if seal == _seal(content, repeats):
            note: dict[str, Any] = orjson.loads(content)
            if note["known_as"] == known_as and note.keys() >= set(NOTED):
                return note, repeats
    except (sqlite3.Error, AttributeError, TypeError):
        pass  # damaged or of another version: the check is made again
    repeats.close()
    return None


def _seal(content: str, repeats: sqlite3.Connection) -> str:
    """A hash of all that is kept: a note, and the repeated rows."""
    seal = hashlib.sha256(content.encode())
    for row in repeats.execute("SELECT position, occurrence FROM repeats ORDER BY position"):
        seal.update(b"%d %d\n" % row)
    return seal.hexdigest()


def _check(value: object, format: str, mapping: Mapping[str, str]) -> _Checked:
    """Read one row and check every text of it.

    Raises:
        BadRow: it cannot be used.
    """
    if not isinstance(value, dict):
        if not isinstance(value, Mapping):
            raise BadRow(f"{kind_of(value)}, not an object with columns")
        value = dict(value)
    row, displaced = mapped(value, mapping) if mapping else (value, {})
    try:
        content, extras = read_row(row, format)
        extras |= displaced
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
    return _Checked(content, digest, meta, "input" not in extras and format != "record" and says_none(row.get("input")))


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
    repeats = sqlite3.connect("", isolation_level=None, check_same_thread=False, uri=True)
    repeats.execute("PRAGMA journal_mode = OFF")
    repeats.execute("PRAGMA cache_size = -2000")
    repeats.execute("CREATE TABLE seen (position INTEGER PRIMARY KEY, digest INTEGER)")
    repeats.execute("BEGIN")
    seen: list[tuple[int, int]] = []
    for index, source_row in enumerate(islice(source.read(0), limit)):
        try:
            if source_row.problem is not None:
                raise BadRow(source_row.problem)
            _, digest, meta, no_input = _check(source_row.value, format, mapping)
        except BadRow as error:
            tally.skipped += 1
            if len(tally.problems) < SHOWN:
                tally.problems.append(Problem(source.name, source_row.line, index + 1, str(error)))
            continue
        tally.rows += 1
        tally.no_input += no_input
        _add(tally.hash, index, digest, meta)
        seen.append((index, int(digest, 16) - (1 << 63)))
        if len(seen) == BATCH:
            repeats.executemany("INSERT INTO seen VALUES (?, ?)", seen)
            seen.clear()
    repeats.executemany("INSERT INTO seen VALUES (?, ?)", seen)
    repeats.execute("COMMIT")
    repeats.execute("CREATE TABLE repeats (position INTEGER PRIMARY KEY, occurrence INTEGER)")  # sought in by position
    repeats.execute(
        "INSERT INTO repeats SELECT position, occurrence FROM (SELECT position, row_number() OVER "
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
    if any("not UTF-8" in problem.what for problem in tally.problems) and source.path is not None:
        name = source.path.name
        fix = f"If it is in an older encoding of Windows: iconv -f WINDOWS-1252 -t UTF-8 {name} > new-{name}"
        return InputError(what, fix=fix + (". Or leave them out with --skip-bad." if tally.rows else ""))
    if not tally.rows:
        return InputError(what, fix="No row can be used. Check --format and --map.")
    return InputError(what, fix="Correct them, or leave them out with --skip-bad.")
