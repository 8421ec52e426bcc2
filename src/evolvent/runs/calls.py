"""calls: look into a run's call store, as it is or while a run writes it."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.write import replacing
from evolvent.errors import InputError
from evolvent.runs.folder import CALLS
from evolvent.runs.store import LAYOUT, Spent, read_spent
from evolvent.storage_errors import explained

# A record's calls are those made for it, for its seed, and for what was made of it.
# An id begins another's if the next character is a slash; with one after both, an id begins itself.
OF_RECORD = "(instr(:record || '/', record || '/') = 1 OR instr(record || '/', :record || '/') = 1)"


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One call as the store holds it.

    Attributes:
        stage, record, model: what it was made for, and the model's URI.
        request: messages and sampling.
        reply: what came back (text, finish_reason, usage, reasoning, refusal …); None if it failed.
        error: why it failed in the server's words, and the raw body where it could not be read; None if it did not.
        at: when it ended, UTC.
        seconds: how long it took, waiting for the server's limits included.
    """

    stage: str
    record: str
    model: str
    request: dict[str, Any]
    reply: dict[str, Any] | None
    error: dict[str, Any] | None
    at: str
    seconds: float


def calls(
    run: str | Path,
    *,
    record: str | None = None,
    model: str | None = None,
    stage: str | None = None,
    error: str | None = None,
    failed: bool = False,
) -> Iterator[StoredCall]:
    """The calls of a run in the order in which they were stored; all that are given must hold.

    Args:
        run: the run folder.
        record: of this record: its own id, its seed's, or that of what was made of it.
        model: of this model, by its URI as records hold it.
        stage: of this stage.
        error: failed with these words in its error.
        failed: failed ones only.

    Raises:
        InputError: the folder has no call store.
    """
    wanted = {
        OF_RECORD: record is not None,
        "model = :model": model is not None,
        "stage = :stage": stage is not None,
        "instr(error, :error)": error is not None,
        "reply IS NULL": failed,
    }
    where = " AND ".join([condition for condition, given in wanted.items() if given] or ["TRUE"])
    named = {"record": record, "model": model, "stage": stage, "error": error}
    path = Path(run) / CALLS
    with closing(_open(path)) as store, explained(path):
        query = (
            f"SELECT stage, record, model, request, reply, error, at, seconds FROM calls WHERE {where} ORDER BY rowid"
        )
        for stage_, record_, model_, request, reply, failure, at, seconds in store.execute(query, named):
            yield StoredCall(
                stage_,
                record_,
                model_,
                orjson.loads(request),
                orjson.loads(reply) if reply else None,
                orjson.loads(failure) if failure else None,
                datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                round(seconds, 3),
            )


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


def spent_in(run: Path) -> list[Spent]:
    """What a run folder's calls have used; nothing if it has none yet."""
    path = run / CALLS
    if not path.is_file():
        return []
    with closing(_open(path)) as store:
        return list(read_spent(store, path))


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {path.name}", fix="Name a run folder that a stage has worked in.")
    with explained(path):
        store = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        layout = store.execute("PRAGMA user_version").fetchone()[0]
    if layout != LAYOUT:
        store.close()
        raise InputError(f"{path} was made by another version of evolvent", fix="Read it with that version.")
    return store
