"""A call store opened for reading alone, also where nothing can be written: an archive, another user's folder."""

import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from evolvent.call_store.journal import copy_number, has_log
from evolvent.files import FileState, file_state

# What sqlite says where it cannot write beside a file.
NOT_WRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a store for reading, also where sqlite can write nothing beside it, as its log needs."""
    uri = path.resolve().as_uri()
    if copy_number(path) and not has_log(path):  # whole, and never written in place
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    unmerged = [path.with_name(path.name + end) for end in ("-wal", "-journal")]
    try:
        with ExitStack() as opened:
            # What a stop left in a journal is taken back first, which writes.
            mode = "rw" if unmerged[1].exists() and unmerged[1].stat().st_size else "ro"
            store = opened.enter_context(closing(sqlite3.connect(f"{uri}?mode={mode}", uri=True)))
            store.execute("SELECT 1 FROM sqlite_master").fetchone()
            opened.pop_all()
        return store
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in NOT_WRITABLE:
            raise
    unmerged = [file for file in unmerged if file.exists() and file.stat().st_size]
    if not unmerged:
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    store = sqlite3.connect("")  # without a name: a temporary file that goes with the connection
    with TemporaryDirectory() as folder:
        copied: list[FileState] = []
        while copied != (now := [file_state(file) for file in (path, *unmerged)]):  # a run may write them meanwhile
            for file in (path, *unmerged):
                shutil.copyfile(file, Path(folder, file.name))
            copied = now
        with closing(sqlite3.connect(Path(folder, path.name))) as copy:
            copy.backup(store)
    return store
