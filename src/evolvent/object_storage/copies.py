"""The copy of an object, or of a run folder in a store: brought to this node, worked on here, saved there.

A save has a number, which is the last thing of it that is written, there and here: a copy of the store's own last
number is as new as the store, or newer, and is gone on with; any other copy is brought up to date first. What is saved
is written in an order that a kill may cut anywhere: the calls first, then the files, then the manifest that names them.
"""

import fcntl
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

from evolvent.errors import InputError
from evolvent.files import CALLS, MANIFEST, make_folder
from evolvent.node_disk import make_node_folder
from evolvent.object_storage.stores import check_writable, explained_store, open_store
from evolvent.object_storage.urls import place_of
from evolvent.storage_errors import explained

log = logging.getLogger(__name__)

SAVED, LEASE = ".saved", ".lease"  # objects of a run folder in a store: its last save's number, who works in it
SHARDS = "shards"
# What is of this node alone: locks, what sqlite has beside a file, what is not finished.
OWN = re.compile(r"\.lock|\.lease.*|\.saved|.*-(wal|shm|journal)|\..*\.(tmp|saved|copy)|.*\.part|\.calls-probe.*")


@dataclass(slots=True)
class Note:
    """What is known of a copy.

    Attributes:
        numbers: of the save that it was last the same as, and of one that may not have been finished.
        files: by their paths in it, the files of that save: size and time here, and what the store said of each.
    """

    numbers: list[int] = field(default_factory=list)
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: int) -> Self:
        """The note in an open file; an empty one where it is damaged, and all is brought again."""
        try:
            found = orjson.loads(os.pread(file, os.fstat(file).st_size, 0) or b"{}")
            return cls(found.get("numbers", []), {name: tuple(one) for name, one in found.get("files", {}).items()})
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            return cls()

    def write(self, file: int) -> None:
        """Put it in an open file's place."""
        content = orjson.dumps(asdict(self))
        os.pwrite(file, content.ljust(os.fstat(file).st_size), 0)  # in one step: a kill leaves one note or the other


def with_run(url: str) -> str:
    """The run folder whose file is at a URL, for its manifest says whether that is up to date; or the URL itself."""
    folder, _, name = url.rpartition("/")
    store, path = open_store(url)
    with explained_store(url, place_of(url)):
        in_folder = "/" in folder.partition("://")[2] and _file(store, path) is not None
        return folder if in_folder and _file(store, f"{path.removesuffix(name)}{MANIFEST}") is not None else url


def bring(url: str) -> Path:
    """Bring what is at a URL to this node, unless what is here is as new; of a run folder all but its shards.

    Returns:
        Where it lies here; nothing lies there if there is nothing at the URL.

    Raises:
        InputError: it may not be read, or is a folder of something else.
        RunError: the store cannot be reached, or this node's disk is full.
    """
    place = place_of(url)
    store, path = open_store(url)
    with noted(place) as file, explained_store(url, place):
        note = Note.read(file)
        saved = bool(note.files)
        if (info := _file(store, path)) is not None:
            _bring(store, {place: (path, info)}, note, place.parent)
        else:
            number = _number(store, path)
            first_save_was_cut = number is None and bool(note.numbers) and not note.files
            if (first_save_was_cut or number in note.numbers) and place.is_dir():
                note.numbers = note.numbers if number is None else [number]
                note.write(file)
                return place
            there = _found(store, path)
            if there and number is None and not {MANIFEST, LEASE, SHARDS} & {name.split("/")[0] for name in there}:
                raise InputError(
                    f"{url} is a folder", fix="Name one file in it, or for a run a folder that holds nothing else."
                )
            wanted = {place / name: one for name, one in there.items() if _is_of_run(name)}
            if number is not None and saved and _changed(place, note):
                log.warning("%s was gone on with elsewhere: what was made here after its last save is left out", url)
            _bring(store, wanted, note, place)
            if number is not None or saved:  # what the store has no longer, is here no longer
                for name in [name for name in _here(place) if place / name not in wanted]:
                    (place / name).unlink()
                note.numbers = [number] if number is not None else []
        note.write(file)
    return place


def bring_shards(url: str) -> None:
    """Bring all shards of a run folder to this node; errors as for ``bring``."""
    store, path = open_store(f"{url}/{SHARDS}")
    with explained_store(url, place_of(url)):
        there = [one["name"] for one in _listed(store, path) if one["type"] == "directory"]
    for name in there:
        bring(f"{url}/{SHARDS}/{name.rstrip('/').rpartition('/')[2]}")


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
        if not _changed(place, note):
            return False
        check_writable(url)
        store, path = open_store(url)
        with explained_store(url, place, "saved"):
            if place.is_file():
                state = _state(place)
                store.put_file(str(place), path)
                note.files[place.name] = (*state, "")
            else:
                _save_folder(store, path, place, note, file)
        note.write(file)
    return True


def changed(url: str) -> bool:
    """Whether anything of a copy has changed since it was saved last."""
    place = place_of(url)
    with noted(place) as file:
        return _changed(place, Note.read(file))


@contextmanager
def noted(place: Path) -> Iterator[int]:
    """The open file that holds the note of a copy; of all processes on this node one at a time has it."""
    with explained(place):
        make_node_folder()
        make_folder(place.parent)
        file = os.open(place.with_name(f".{place.name}.saved"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _changed(place: Path, note: Note) -> bool:
    here = {place.name: _state(place)} if place.is_file() else _here(place)
    return any(note.files.get(name, ())[:2] != state for name, state in here.items()) or (
        place.is_dir() and note.files.keys() != here.keys()
    )


def _save_folder(store: Any, path: str, place: Path, note: Note, file: int) -> None:
    manifest = (place / MANIFEST).read_bytes() if (place / MANIFEST).is_file() else None
    here = _here(place)  # behind the manifest: what it names is there
    changed = [name for name, state in here.items() if note.files.get(name, ())[:2] != state]
    number = secrets.randbelow(2**53)
    note.numbers = [*note.numbers[:1], number]
    note.write(file)
    if CALLS in changed:
        with _copied(place / CALLS) as copy:
            store.put_file(str(copy), f"{path}/{CALLS}")
    others = [name for name in changed if name not in {CALLS, MANIFEST}]
    _put(store, path, place, others)
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


def _bring(store: Any, wanted: Mapping[Path, tuple[str, Mapping[str, Any]]], note: Note, folder: Path) -> None:
    """Bring objects that are not here as the store has them, each in one step."""
    lacking = {}
    for place, (path, info) in wanted.items():
        name, stamp = place.relative_to(folder).as_posix(), _stamp(info)
        here = (*_state(place), stamp) if place.is_file() else None
        if here is None or note.files.get(name) != here:
            lacking[place] = (path, name, stamp)
    for place in lacking:
        make_folder(place.parent)
    parts = [place.with_name(f".{place.name}.tmp") for place in lacking]
    if parts:
        store.get([path for path, _, _ in lacking.values()], [str(part) for part in parts])
    for part, (place, (_, name, stamp)) in zip(parts, lacking.items(), strict=True):
        if place.name == CALLS:
            for end in ("-wal", "-shm", "-journal"):  # of the store that was here
                place.with_name(place.name + end).unlink(missing_ok=True)
        part.replace(place)
        note.files[name] = (*_state(place), stamp)
    for name in [name for name in note.files if folder / name not in wanted]:
        del note.files[name]


def _found(store: Any, path: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The objects of a folder by their names in it: all but what is in its shards, of which only the name is there."""
    found = {}
    for one in _listed(store, path):
        name = one["name"].rstrip("/").rpartition("/")[2]
        if one["type"] != "directory" or name == SHARDS:
            found[name] = (one["name"], one)
        else:
            below = store.find(one["name"], detail=True)
            found |= {
                f"{name}/{place.removeprefix(one['name'].rstrip('/') + '/')}": (place, info)
                for place, info in below.items()
            }
    return found


def _listed(store: Any, path: str) -> Sequence[Mapping[str, Any]]:
    try:
        return [one for one in store.ls(path, detail=True) if one["name"].rstrip("/") != path.rstrip("/")]
    except FileNotFoundError:
        return []


def _is_of_run(name: str) -> bool:
    """Whether a file of a run folder is in its copy."""
    return name.split("/")[0] != SHARDS and not any(OWN.fullmatch(part) for part in name.split("/"))


def _here(place: Path) -> dict[str, tuple[int, int]]:
    """The files of a copy, with their states."""
    found = {}
    for folder, folders, files in os.walk(place):
        if Path(folder) == place and SHARDS in folders:
            folders.remove(SHARDS)
        for name in files:
            file = Path(folder, name)
            inside = file.relative_to(place).as_posix()
            if _is_of_run(inside):
                with suppress(FileNotFoundError):  # finished, and removed, meanwhile
                    found[inside] = _state(file)
    return found


def _state(file: Path) -> tuple[int, int]:
    """The size of a file and when it was changed, of a call store with its log."""
    state = file.stat()
    beside = file.with_name(f"{file.name}-wal")
    if file.name != CALLS or not beside.exists():
        return state.st_size, state.st_mtime_ns
    log = beside.stat()
    return state.st_size + log.st_size, max(state.st_mtime_ns, log.st_mtime_ns)


def _file(store: Any, path: str) -> Mapping[str, Any] | None:
    """What a store says of a file; None if there is none of this name. (``isfile`` takes any error for that.)"""
    try:
        info: Mapping[str, Any] = store.info(path)
    except FileNotFoundError:
        return None
    return info if info["type"] == "file" else None


def _number(store: Any, path: str) -> int | None:
    try:
        return int(store.cat_file(f"{path}/{SAVED}"))
    except (FileNotFoundError, ValueError, IsADirectoryError, NotADirectoryError):
        return None


def _stamp(info: Mapping[str, Any]) -> str:
    """What tells that an object is not the one that was read: by the store, its hash or when it was written."""
    known = ("ETag", "etag", "md5Hash", "blob_id", "sha", "LastModified", "last_modified", "mtime", "created", "size")
    return " ".join(f"{key}={info[key]}" for key in known if info.get(key) is not None)
