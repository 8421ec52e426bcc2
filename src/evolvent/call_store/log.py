"""calls: look into a run's call store, as it is or while a run writes it."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from evolvent.call_store.options import CALLS_OF, First, Wanted
from evolvent.call_store.store import open_read_only
from evolvent.files import CALLS, replacing
from evolvent.options import implements, takes
from evolvent.storage_errors import explained

# A record's calls are those made for it, for its seed, and for what was made of it.
# An id begins another's if the next character is a slash; with one after both, an id begins itself.
OF_RECORD = "(instr(:record || '/', record || '/') = 1 OR instr(record || '/', :record || '/') = 1)"

PAGE = 256
# Models or records that are named where what was asked for is not there.
NAMED = 5


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One call as the store holds it.

    Attributes:
        stage, record, model: what it was made for, and the model's URI.
        request: messages and sampling.
        reply: what came back (text, finish_reason, usage, reasoning, refusal …); None if it failed.
        error: why it failed in the server's words, and the raw body where it could not be read; None if it did not.
            Of these three one that is damaged is its raw text.
        at: when it ended, UTC; empty if that is damaged.
        seconds: how long it took, waiting for its turn and for the server's limits included.
    """

    stage: str
    record: str
    model: str
    request: dict[str, Any] | str
    reply: dict[str, Any] | str | None
    error: dict[str, Any] | str | None
    at: str
    seconds: float


@implements(CALLS_OF)
def calls(run: str | Path, wanted: Wanted, first: First) -> Iterator[StoredCall]:
    """The calls of a run in the order in which they were stored; all that are given must hold.

    Raises:
        InputError: the folder has no call store, or there is no such stage.
    """
    return stored_calls(Path(run), wanted, first.limit)


def stored_calls(run: Path, wanted: Wanted, limit: int | None) -> Iterator[StoredCall]:
    """The calls of ``calls``; the first so many of them."""
    return _read(run / CALLS, open_read_only(run / CALLS), wanted, limit)


def _read(path: Path, opened: sqlite3.Connection, wanted: Wanted, limit: int | None) -> Iterator[StoredCall]:
    with closing(opened) as store, explained(path, "read"):
        for stage, record, model, request, reply, failure, at, seconds in islice(_rows(store, wanted), limit):
            yield StoredCall(
                _legible(stage),
                _legible(record),
                _legible(model),
                _content(request),
                None if reply is None else _content(reply),
                None if failure is None else _content(failure),
                _time(at),
                round(seconds, 3) if isinstance(seconds, float) else 0.0,
            )


def _rows(store: sqlite3.Connection, wanted: Wanted) -> Iterator[tuple[Any, ...]]:
    """What is stored of calls, page by page: while one is read, a run with a rollback journal can write nothing."""
    where, values = _condition(wanted)
    columns = "rowid, stage, record, model, request, reply, error, at, seconds"
    query = f"SELECT {columns} FROM calls WHERE {where} AND rowid > :after ORDER BY rowid LIMIT {PAGE}"
    if store.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        store.execute("BEGIN")  # nobody waits for it, so all pages are of one moment
    after = -1
    while page := store.execute(query, {**values, "after": after}).fetchall():
        yield from (row[1:] for row in page)
        after = page[-1][0]


def _content(text: object) -> dict[str, Any] | str:
    """A stored object; its raw text if it is damaged."""
    try:
        content = orjson.loads(text)  # type: ignore[arg-type]
    except orjson.JSONDecodeError:
        content = None
    return content if isinstance(content, dict) else _legible(text)


def _legible(text: object) -> str:
    """A text with what is no UTF-8 in it escaped."""
    return str(text).encode(errors="surrogateescape").decode(errors="backslashreplace")


def _time(at: object) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


@takes(Wanted)
def count_calls(run: str | Path, wanted: Wanted) -> int:
    """How many calls of a run there are; arguments and errors as for ``calls``."""
    where, values = _condition(wanted)
    path = Path(run) / CALLS
    with closing(open_read_only(path)) as store, explained(path, "read"):
        return int(store.execute(f"SELECT count(*) FROM calls WHERE {where}", values).fetchone()[0])


def why_none(run: str | Path, wanted: Wanted) -> list[str]:
    """What to say where no call was found: the model or the record that no call was made for, and what there is."""
    path = Path(run) / CALLS
    lines = []
    with closing(open_read_only(path)) as store, explained(path, "read"):

        def first(column: str) -> str:
            found = store.execute(f"SELECT DISTINCT {column} FROM calls WHERE {column} != '' LIMIT {NAMED + 1}")
            names = [str(name) for (name,) in found]
            return ", ".join(names[:NAMED] + ["…"] * (len(names) > NAMED)) or "none"

        for name, value, alone in (
            ("model", wanted.model, Wanted(model=wanted.model)),
            ("record", wanted.record, Wanted(record=wanted.record)),
        ):
            where, values = _condition(alone)
            if value is not None and not store.execute(f"SELECT 1 FROM calls WHERE {where} LIMIT 1", values).fetchone():
                lines.append(f"no call was made for the {name} {value}; there are calls for: {first(name)}")
    return lines


def _condition(wanted: Wanted) -> tuple[str, dict[str, str | None]]:
    """What holds for the calls that are wanted, in SQL, and the values in it."""
    conditions = {
        OF_RECORD: wanted.record is not None,
        "model = :model": wanted.model is not None,
        "stage = :stage": wanted.stage is not None,
        "instr(error, :error)": wanted.error is not None,
        "reply IS NULL": wanted.failed,
    }
    where = " AND ".join([condition for condition, given in conditions.items() if given] or ["TRUE"])
    return where, {name: getattr(wanted, name) for name in ("record", "model", "stage", "error")}


def export(found: Iterable[StoredCall], out: Path) -> int:
    """Write calls to a JSON Lines file, which appears when it is complete.

    Returns:
        How many were written.

    Raises:
        InputError: the file cannot be written.
    """
    written = 0
    with replacing(out) as file:
        for call in found:
            file.write(orjson.dumps(call) + b"\n")
            written += 1
    return written
