"""What sqlite's errors say to a user: what was wrong, which file, what to do; never sqlite's own words."""

import sqlite3
from pathlib import Path

import pytest

from evolvent.errors import EvolventError, InputError
from evolvent.storage_errors import explained

RESULTS = {
    name: value for name, value in vars(sqlite3).items() if name.startswith("SQLITE_") and value in range(1, 1 << 14)
}
MET = ("FULL", "IOERR", "CANTOPEN", "READONLY", "CORRUPT", "NOTADB", "BUSY", "LOCKED", "PROTOCOL")
OWN_WORDS = {
    "FULL": "database or disk is full",
    "IOERR": "disk I/O error",
    "CANTOPEN": "unable to open database file",
    "READONLY": "attempt to write a readonly database",
    "CORRUPT": "database disk image is malformed",
    "NOTADB": "file is not a database",
    "BUSY": "database is locked",
    "LOCKED": "database table is locked",
    "PROTOCOL": "locking protocol",
}


def said(path: Path, result: int, words: str, purpose: str = "written") -> EvolventError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = result
    with pytest.raises(EvolventError) as raised, explained(path, purpose):
        raise error
    return raised.value


@pytest.mark.parametrize("purpose", ["written", "read"])
@pytest.mark.parametrize("kind", OWN_WORDS)
def test_every_result_is_said_in_plain_words(tmp_path: Path, kind: str, purpose: str) -> None:
    path = tmp_path / "calls.sqlite"
    codes = [value for name, value in vars(sqlite3).items() if name.startswith(f"SQLITE_{kind}")]
    assert codes  # with the extended ones
    for result in codes:
        error = said(path, result, OWN_WORDS[kind], purpose)
        assert str(path) in error.message
        assert OWN_WORDS[kind] not in str(error)
        assert error.fix


def test_the_disk_is_named_where_it_fails(tmp_path: Path) -> None:
    assert said(tmp_path / "c", sqlite3.SQLITE_IOERR_READ, "disk I/O error", "read").message == (
        f"the disk reports an error where {tmp_path / 'c'} is read"
    )


def test_why_a_folder_takes_no_file_is_found_out(tmp_path: Path) -> None:
    """Sqlite says that it cannot open a file; the system says why."""
    (tmp_path / "file").touch()
    error = said(tmp_path / "file" / "calls.sqlite", sqlite3.SQLITE_CANTOPEN, "unable to open database file")
    assert isinstance(error, InputError)
    assert "cannot be written: Not a directory" in error.message
