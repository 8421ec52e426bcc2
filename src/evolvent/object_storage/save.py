"""Save: what has changed of a copy, into its store, in an order that a kill may cut anywhere.

The calls come first, then the files, then the manifest that names them; what is gone here, goes there behind them.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from evolvent.errors import RunError
from evolvent.files import CALLS, MANIFEST
from evolvent.object_storage.bring import saved_number
from evolvent.object_storage.copies import SAVED, Note, alone_with, beside, differs, files_of, is_of_stage, state_of
from evolvent.object_storage.stores import check_writable, explained_store, open_store, together
from evolvent.object_storage.urls import place_of
from evolvent.storage_errors import explained


def save(url: str, check: Callable[[], None]) -> None:
    """Save what has changed here of a run folder since it was saved last.

    Args:
        url: the run folder, which this process holds.
        check: raises if it does so no longer; asked before each step.

    Raises:
        InputError: it may not be written.
        RunError: the store cannot be reached, or another node has saved it since.
    """
    place = place_of(url)
    with alone_with(place):
        note = Note.read(place)
        if not place.is_dir() or not differs(place, note):
            return
        with explained_store(url, place, "saved"):
            _save(url, place, note, check)
        note.write(place)


def save_file(url: str, before: Mapping[str, tuple[int, int]]) -> None:
    """Save a file that is no run's, and those beside it whose names begin as its own does, where they have changed.

    Args:
        url: the file.
        before: these files as they were, by name (``beside``).

    Raises:
        InputError: it may not be written.
        RunError: the store cannot be reached.
    """
    place = place_of(url)
    with alone_with(place):
        note = Note.read(place)
        changed = [place.with_name(name) for name, state in beside(place).items() if before.get(name) != state]
        if not changed:
            return
        check_writable(url)
        store, path = open_store(url)
        with explained_store(url, place, "saved"):
            for file in changed:
                state = state_of(file)
                store.put_file(str(file), f"{path.removesuffix(place.name)}{file.name}")
                note.files[file.name] = (*state, "")
        note.write(place)


def save_others(url: str, before: Mapping[str, tuple[int, int]]) -> None:
    """Save files of a run folder that none of its stages writes (a page, a card), where they have changed.

    Args:
        url: the run folder, which this process need not hold.
        before: its files as they were.

    Raises:
        InputError: it may not be written.
        RunError: the store cannot be reached.
    """
    place = place_of(url)
    with alone_with(place):
        note = Note.read(place)
        here = {name: state for name, state in files_of(place).items() if not is_of_stage(name)}
        changed = {
            name: state
            for name, state in here.items()
            if before.get(name) != state and note.files.get(name, ())[:2] != state
        }
        if not changed:
            return
        check_writable(url)
        store, path = open_store(url)
        with explained_store(url, place, "saved"):
            _put(store, path, place, changed)
        note.files |= {name: (*state, "") for name, state in changed.items()}
        note.write(place)


def _save(url: str, place: Path, note: Note, check: Callable[[], None]) -> None:
    store, path = open_store(url)
    there = saved_number(store, path)
    if there is not None and there not in note.numbers:
        raise RunError(f"{url} was gone on with elsewhere", fix="Start the same command again.")
    manifest = (place / MANIFEST).read_bytes() if (place / MANIFEST).is_file() else None
    here = files_of(place)  # behind the manifest: what it names is there
    changed = [name for name, state in here.items() if note.files.get(name, ())[:2] != state]
    number = secrets.randbelow(2**53)
    note.numbers = [*note.numbers, number]
    note.write(place)
    for name in changed:
        if (place / name).name == CALLS:
            check()
            with _copied(place / name) as copy:
                store.put_file(str(copy), f"{path}/{name}")
    check()
    _put(store, path, place, [name for name in changed if (place / name).name not in {CALLS, MANIFEST}])
    check()
    for name in [name for name in changed if name != MANIFEST and (place / name).name == MANIFEST]:
        store.put_file(str(place / name), f"{path}/{name}")
    if manifest is not None and MANIFEST in changed:
        store.pipe_file(f"{path}/{MANIFEST}", manifest)
    if gone := [f"{path}/{name}" for name in note.files.keys() - here.keys()]:
        check()
        with suppress(FileNotFoundError):
            store.rm(gone)
    check()
    store.pipe_file(f"{path}/{SAVED}", str(number).encode())
    note.numbers = [number]
    note.files = {
        name: (*state, "") if name in changed else note.files[name]
        for name, state in here.items()
        if name != MANIFEST or manifest is not None
    }


def _put(store: Any, path: str, place: Path, names: Iterable[str]) -> None:
    """Write files into the store; one that goes away meanwhile, a part that is joined, is left out."""
    while names := [name for name in names if (place / name).exists()]:
        try:
            store.put([str(place / name) for name in names], [f"{path}/{name}" for name in names], **together(store))
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
