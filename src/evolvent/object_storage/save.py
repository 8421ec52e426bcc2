"""Save: what has changed of a copy, into its store, in an order that a kill may cut anywhere.

The calls come first, then the files, then the manifest that names them; what is gone here, goes there behind them.
"""

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from evolvent.files import CALLS, MANIFEST
from evolvent.object_storage.copies import SAVED, Note, differs, files_of, noted, state_of
from evolvent.object_storage.stores import check_writable, explained_store, open_store
from evolvent.object_storage.urls import place_of
from evolvent.storage_errors import explained


def save(url: str) -> bool:
    """Save what has changed here of a copy since it was saved last.

    Returns:
        Whether anything has.

    Raises:
        InputError: it may not be written.
        RunError: the store cannot be reached.
    """
    place = place_of(url)
    with noted(place) as file:
        note = Note.read(file)
        if not differs(place, note):
            return False
        check_writable(url)
        store, path = open_store(url)
        with explained_store(url, place, "saved"):
            if place.is_file():
                state = state_of(place)
                store.put_file(str(place), path)
                note.files[place.name] = (*state, "")
            else:
                _save_folder(store, path, place, note, file)
        note.write(file)
    return True


def _save_folder(store: Any, path: str, place: Path, note: Note, file: int) -> None:
    manifest = (place / MANIFEST).read_bytes() if (place / MANIFEST).is_file() else None
    here = files_of(place)  # behind the manifest: what it names is there
    changed = [name for name, state in here.items() if note.files.get(name, ())[:2] != state]
    number = secrets.randbelow(2**53)
    note.numbers = [*note.numbers[:1], number]
    note.write(file)
    stores = [name for name in changed if (place / name).name == CALLS]
    for name in stores:
        with _copied(place / name) as copy:
            store.put_file(str(copy), f"{path}/{name}")
    _put(store, path, place, [name for name in changed if name not in {*stores, MANIFEST}])
    if manifest is not None and MANIFEST in changed:
        store.pipe_file(f"{path}/{MANIFEST}", manifest)
    for name in note.files.keys() - here.keys():
        with suppress(FileNotFoundError):
            store.rm_file(f"{path}/{name}")
    store.pipe_file(f"{path}/{SAVED}", str(number).encode())
    note.numbers = [number]
    note.files = {
        name: (*state, "") if name in changed else note.files[name]
        for name, state in here.items()
        if name != MANIFEST or manifest is not None
    }


def _put(store: Any, path: str, place: Path, names: Sequence[str]) -> None:
    """Write files into the store; one that goes away meanwhile, a part that is joined, is left out."""
    while names := [name for name in names if (place / name).exists()]:
        try:
            store.put([str(place / name) for name in names], [f"{path}/{name}" for name in names])
            return
        except FileNotFoundError:
            if all((place / name).exists() for name in names):
                raise


@contextmanager
def _copied(calls: Path) -> Iterator[Path]:
    """A whole copy of a call store, which may be growing meanwhile."""
    copy = calls.with_name(f".{calls.name}.copy")
    try:
        with explained(calls), closing(sqlite3.connect(calls)) as store, closing(sqlite3.connect(copy)) as made:
            store.backup(made)
        yield copy
    finally:
        copy.unlink(missing_ok=True)
