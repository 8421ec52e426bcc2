"""How a call store is kept where it lies: which of sqlite's journals holds there, found by a throw-away database.

WAL needs memory that all who have the file open share, and locks: sqlite's documentation has it for one host alone
(https://www.sqlite.org/wal.html). Where other nodes share the folder, or the file system refuses WAL, it is a rollback
journal, which needs locks alone; where other nodes do not see those, the store is kept apart (``apart.py``).
"""

import logging
import sqlite3
from contextlib import closing, suppress
from enum import Enum
from functools import cache, partial
from pathlib import Path

from evolvent.mounts import mount_of
from evolvent.storage_errors import explained, sqlite_words, system_error

log = logging.getLogger(__name__)

PROBE = ".calls-probe.sqlite"
BESIDE = ("-wal", "-shm", "-journal")
# Room for the upper pages of an index of a million keys, and fewer, longer checkpoints: 1.3 times the rate of the
# defaults at 300,000 calls.
CACHE_KIB = 16_000
CHECKPOINT_PAGES = 4_000
BUSY_S = 5
# With a rollback journal a commit waits while others read: a search through a large store, say.
READ_S = 600
SAVE_S = 30  # between two saved copies of a store that is kept apart
WRITE_VERSION, APPLICATION_ID = (
    slice(18, 19),
    slice(68, 72),
)  # in a file's header, https://www.sqlite.org/fileformat.html


class Journal(Enum):
    """How a call store is kept; the values are sqlite's names of the journals."""

    WAL = "wal"
    TRUNCATE = "truncate"
    DELETE = "delete"
    APART = "apart"  # WAL on the node's own disk, saved as a whole to where it lies


def words(path: Path) -> str:
    """How a store that is there is kept, and what a stop can cost; empty for the usual, a write-ahead log."""
    if has_log(path) or not path.is_file():
        return ""
    if copy_number(path):
        return (
            f"a copy that is saved every {SAVE_S} s from the own disk (TMPDIR) of the node that works: a run that is "
            "killed loses no call if it goes on there, on another node those since the last copy"
        )
    return "a file with a rollback journal, slower than a log: each call is on the disk before its reply is used"


@cache
def say(path: Path, why: str) -> None:
    """Say, once in a process, how a store is kept and why."""
    log.warning("%s: %s; it is kept as %s", path, why, words(path))


def connect(path: Path, journal: Journal, *, trial: bool = False) -> sqlite3.Connection:
    """Open a store, or make it; a commit has reached the disk when it returns.

    Args:
        path: the file.
        journal: one of sqlite's.
        trial: nothing has to last, and nobody else uses it.

    Raises:
        sqlite3.Error: it cannot be opened, or not with this journal.
    """
    wait_s = 0 if trial else BUSY_S if journal is Journal.WAL else READ_S
    connection = sqlite3.connect(path, wait_s, check_same_thread=False)
    try:
        connection.text_factory = text
        connection.execute(f"PRAGMA synchronous={'OFF' if trial else 'FULL'}")
        (found,) = connection.execute(f"PRAGMA journal_mode={journal.value}").fetchone()
        if found != journal.value:
            raise sqlite3.OperationalError(f"its journal is {found}, not {journal.value}")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def text(stored: bytes) -> str:
    """A stored text, also where it is damaged and no UTF-8 any more: no JSON, then."""
    return stored.decode(errors="surrogateescape")


def choose(path: Path) -> tuple[Journal, str]:
    """How a store is to be kept at a path, and why not as usual.

    A store that is there, with a write-ahead log on a disk of this node's alone, is not tried again.

    Raises:
        RunError, InputError: nothing can be written there at all.
    """
    mount = mount_of(path.parent)
    if mount.is_local and has_log(path):
        return Journal.WAL, ""
    tried, why = [Journal.WAL, Journal.TRUNCATE, Journal.DELETE], f"its file system, {mount.kind}"
    if not mount.is_local:
        tried = tried[1:] if mount.shares_locks else []
        why += ", is shared by nodes" + ("" if mount.shares_locks else " that may not see each other's locks")
    chosen = Journal.APART
    for journal in tried:
        refused = refusal(path.parent, journal)
        if refused is None:
            chosen = journal
            break
        why += f"{',' if journal is tried[0] else ';'} refuses {journal.value} ({refused})"
    if chosen is not Journal.WAL and has_log(path):
        settle(path)
    return chosen, "" if chosen is Journal.WAL else why


def refusal(folder: Path, journal: Journal) -> str | None:
    """Why a journal does not hold in a folder, found with a database that is removed again; None if it holds.

    Raises:
        RunError, InputError: nothing can be written there at all: a full disk, no permission.
    """
    path = folder / PROBE
    try:
        remove(path)
        opened = partial(connect, path, journal, trial=True)
        with closing(opened()) as writer, closing(opened()) as reader:
            with writer:
                writer.execute("CREATE TABLE probe AS SELECT 1 AS held")
            reader.execute("SELECT held FROM probe").fetchone()
        with closing(opened()) as again, again:
            again.execute("UPDATE probe SET held = held + 1")
            held = again.execute("SELECT held FROM probe").fetchone()
        return None if held == (2,) else "what was written is not what is read"
    except sqlite3.Error as error:
        if not folder.is_dir() or system_error(path) is not None:
            with explained(folder):
                raise
        return _why(error)
    finally:
        with suppress(OSError):
            remove(path)


def _why(error: sqlite3.Error) -> str:
    """Why a database that nobody else uses cannot be written."""
    name = getattr(error, "sqlite_errorname", "")
    if "SHM" in name:
        return "there is no memory that processes share"
    if "LOCK" in name or name.startswith(("SQLITE_BUSY", "SQLITE_PROTOCOL")):
        return "files cannot be locked"
    return sqlite_words(error)


def remove(path: Path) -> None:
    """Remove a database with what stands beside it."""
    for end in ("", *BESIDE):
        path.with_name(path.name + end).unlink(missing_ok=True)


def settle(path: Path) -> None:
    """Bring what logs and journals hold into the file, without shared memory and locks: nobody else may work there."""
    with explained(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?vfs=unix-none", uri=True)) as store:
        store.execute("PRAGMA locking_mode=EXCLUSIVE")
        store.execute("PRAGMA journal_mode=DELETE")
        store.execute("SELECT 1 FROM sqlite_master").fetchone()
    for end in BESIDE:
        path.with_name(path.name + end).unlink(missing_ok=True)


def has_log(path: Path) -> bool:
    """Whether a store is there that is written with a write-ahead log."""
    return _header(path)[WRITE_VERSION] == b"\2"


def copy_number(path: Path) -> int:
    """Which saved copy of a store kept apart a file is; 0 if it is none."""
    return int.from_bytes(_header(path)[APPLICATION_ID])


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except FileNotFoundError:
        return b""
