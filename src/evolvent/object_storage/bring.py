"""Bring: what is at a URL, to this node, unless what is here is as new."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError, RunError
from evolvent.files import CALLS, LOCK, MANIFEST, file_digest, is_locked, make_folder
from evolvent.object_storage.copies import (
    LEASE,
    OWN,
    SAVED,
    Note,
    alone_with,
    differs,
    files_of,
    state_of,
)
from evolvent.object_storage.stores import explained_store, open_store, together
from evolvent.object_storage.urls import place_of, scheme_of
from evolvent.shard import SHARDS

log = logging.getLogger(__name__)

TRIES = 5  # of a folder that is saved meanwhile

# By its name in the folder, an object's path in the store and what the store says of it.
Objects = dict[str, tuple[str, Mapping[str, Any]]]


def with_run(url: str) -> str:
    """The run folder whose file is at a URL, for its manifest says whether that is up to date; or the URL itself."""
    folder, _, name = url.rpartition("/")
    store, path = open_store(url)
    if scheme_of(url) in {"http", "https"} or "/" not in folder.partition("://")[2]:
        return url
    with explained_store(url, place_of(url)):
        if _file(store, path) is None:
            return url
        with suppress(PermissionError):  # one who may read this file alone
            return folder if _file(store, f"{path.removesuffix(name)}{MANIFEST}") is not None else url
    return url


def bring(url: str, *, held: bool = False) -> Path:
    """Bring what is at a URL to this node, unless what is here is as new; of a run folder all but its shards.

    What was made here and never saved is not overwritten: it is put aside. Nothing is brought into a folder in which
    another process works: that has it up to date.

    Args:
        url: the URL.
        held: whether this process holds the run folder.

    Returns:
        Where it lies here; nothing lies there if there is nothing at the URL.

    Raises:
        InputError: it may not be read, or is a folder of something else.
        RunError: the store cannot be reached, or this node's disk is full.
    """
    place = place_of(url)
    store, path = open_store(url)
    inner: set[str] = set()
    with alone_with(place), explained_store(url, place):
        note = Note.read(place)
        if (info := _file(store, path)) is not None:
            _fetch(store, {place.name: (path, info)}, note, place.parent)
        elif held or not is_locked(place / LOCK):
            inner = _bring_run(url, note, place)
        note.write(place)
    for name in sorted(inner):
        bring(f"{url}/{name}")
    return place


def bring_shards(url: str) -> None:
    """Bring all shards of a run folder to this node; errors as for ``bring``."""
    store, path = open_store(f"{url}/{SHARDS}")
    with explained_store(url, place_of(url)):
        there = [one["name"] for one in _listed(store, path) if one["type"] == "directory"]
    for name in there:
        bring(f"{url}/{SHARDS}/{name.rstrip('/').rpartition('/')[2]}")


def _bring_run(url: str, note: Note, place: Path) -> set[str]:
    """Bring a run folder; the run folders within it, which are brought each by itself."""
    store, path = open_store(url)
    for _ in range(TRIES):
        number = saved_number(store, path)
        there, inner = _found(store, path)
        if there and not (note.numbers or inner or number is not None or {MANIFEST, LEASE, SHARDS} & there.keys()):
            raise InputError(
                f"{url} is a folder", fix="Name one file in it, or for a run a folder that holds nothing else."
            )
        wanted = {name: one for name, one in there.items() if name != SHARDS and not OWN.fullmatch(Path(name).name)}
        if place.is_dir() and _is_as_new(number, wanted, note):
            note.numbers = note.numbers if number is None else [number]
            return inner
        if place.is_dir() and (differs(place, note) or not wanted):
            _put_aside(url, place)
        for name in wanted:
            place_of(f"{url}/{name}")  # or it leads elsewhere
        with suppress(FileNotFoundError):  # another node has joined, or removed, a part meanwhile
            _fetch(store, wanted, note, place)
            for name in files_of(place).keys() - wanted.keys():
                (place / name).unlink()
        if saved_number(store, path) == number and wanted.keys() <= files_of(place).keys():
            note.numbers = [number] if number is not None else []
            _leave_out_unfinished(place)
            return inner
    raise RunError(f"{url} changes all the time", fix="Start the same command again.")


def _is_as_new(number: int | None, wanted: Objects, note: Note) -> bool:
    """Whether a copy is what the store has, or has been worked on since."""
    if number is not None:
        return number in note.numbers
    if not note.files:  # it was never saved as a whole: a first save was cut, or there was none
        return bool(note.numbers) or not wanted
    # A run that was put there by other means, and that nobody has saved since.
    return {name: _stamp(info) for name, (_, info) in wanted.items()} == {
        name: stamp for name, (*_, stamp) in note.files.items()
    }


def _put_aside(url: str, place: Path) -> None:
    """Keep what was made here and never saved, and what it was made of, beside a copy that is to be brought anew."""
    number = 1
    while (aside := place.with_name(f".{place.name}.left-{number}")).exists():
        number += 1
    for name in files_of(place):
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        for end in ("", "-wal") if name.endswith(CALLS) else ("",):
            with suppress(FileNotFoundError):
                (place / f"{name}{end}").rename(aside / f"{name}{end}")
    if aside.exists():
        log.warning("%s has moved on elsewhere: what was made here since its last save is kept in %s", url, aside)


def _leave_out_unfinished(place: Path) -> None:
    """Remove stages' files that are not those of the manifest: a save was cut between them, and its node is lost.

    Their calls were saved before, so that the stage makes them again without a call.
    """
    with suppress(FileNotFoundError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        for entry in orjson.loads((place / MANIFEST).read_bytes())["stages"].values():
            file = place / str(entry.get("output", {}).get("name", ""))
            done = entry.get("state") == "done" and file.parent == place and file.is_file()
            if done and file_digest(file) != entry["output"]["digest"]:
                file.unlink()


def _fetch(store: Any, wanted: Objects, note: Note, folder: Path) -> None:
    """Fetch objects that are not here as the store has them, each in one step."""
    lacking = []
    for name, (path, info) in wanted.items():
        place, stamp = folder / name, _stamp(info)
        here = (*state_of(place), stamp) if place.is_file() else None
        if here is None or note.files.get(name) != here:
            lacking.append((place, path, name, stamp))
    for place, *_ in lacking:
        make_folder(place.parent)
    fetched = [place.with_name(f".{place.name}.tmp") for place, *_ in lacking]
    if lacking:
        store.get([path for _, path, *_ in lacking], [str(one) for one in fetched], **together(store))
    for one, (place, _, name, stamp) in zip(fetched, lacking, strict=True):
        if place.name == CALLS:
            for end in ("-wal", "-shm", "-journal"):  # of the store that was here
                place.with_name(place.name + end).unlink(missing_ok=True)
        one.replace(place)
        note.files[name] = (*state_of(place), stamp)
    for name in note.files.keys() - wanted.keys():
        del note.files[name]


def _found(store: Any, path: str) -> tuple[Objects, set[str]]:
    """The objects of a run folder by their names in it, and the run folders within it, whose objects are left out.

    Of its shards only the name of their folder is there.
    """
    found: Objects = {}
    for one in _listed(store, path):
        name = one["name"].rstrip("/").rpartition("/")[2]
        if one["type"] != "directory" or name == SHARDS:
            found[name] = (one["name"], one)
            continue
        folder = f"{one['name'].rstrip('/')}/"
        for place, info in store.find(folder, detail=True).items():
            if not place.endswith("/"):  # what some programs put there for the folder itself
                found[f"{name}/{place.removeprefix(folder)}"] = (place, info)
    inner = {name.removesuffix(f"/{SAVED}") for name in found if name.endswith(f"/{SAVED}")}
    inner = {name for name in inner if SHARDS not in name.split("/")}
    of_others = (*(f"{name}/" for name in inner),)
    kept = {
        name: one
        for name, one in found.items()
        if not name.startswith(of_others) and SHARDS not in name.split("/")[:-1]
    }
    return kept, {name for name in inner if not name.startswith(of_others)}


def _listed(store: Any, path: str) -> Sequence[Mapping[str, Any]]:
    try:
        return [one for one in store.ls(path, detail=True) if one["name"].rstrip("/") != path.rstrip("/")]
    except FileNotFoundError:
        return []


def _file(store: Any, path: str) -> Mapping[str, Any] | None:
    """What a store says of a file; None if there is none of this name. (``isfile`` takes any error for that.)"""
    try:
        info: Mapping[str, Any] = store.info(path)
    except FileNotFoundError:
        return None
    return info if info["type"] == "file" else None


def saved_number(store: Any, path: str) -> int | None:
    """The number of a run folder's last save; None if it has none."""
    try:
        return int(store.cat_file(f"{path}/{SAVED}"))
    except (FileNotFoundError, ValueError, IsADirectoryError, NotADirectoryError):
        return None


def _stamp(info: Mapping[str, Any]) -> str:
    """What tells that an object is not the one that was read: by the store, its hash or when it was written."""
    known = ("ETag", "etag", "md5Hash", "blob_id", "sha", "LastModified", "last_modified", "mtime", "created", "size")
    return " ".join(f"{key}={info[key]}" for key in known if info.get(key) is not None)
