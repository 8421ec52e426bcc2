"""Bring: what is at a URL, to this node, unless what is here is as new."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.files import CALLS, MANIFEST, make_folder
from evolvent.object_storage.copies import (
    LEASE,
    SAVED,
    Note,
    differs,
    files_of,
    is_of_run,
    noted,
    state_of,
)
from evolvent.object_storage.stores import explained_store, open_store
from evolvent.object_storage.urls import place_of
from evolvent.shard import SHARDS

log = logging.getLogger(__name__)


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
            wanted = {place_of(f"{url}/{name}"): one for name, one in there.items() if is_of_run(name)}
            if number is not None and saved and differs(place, note):
                log.warning("%s was gone on with elsewhere: what was made here after its last save is left out", url)
            _bring(store, wanted, note, place)
            if number is not None or saved:  # what the store has no longer, is here no longer
                for name in [name for name in files_of(place) if place / name not in wanted]:
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


def _bring(store: Any, wanted: Mapping[Path, tuple[str, Mapping[str, Any]]], note: Note, folder: Path) -> None:
    """Bring objects that are not here as the store has them, each in one step."""
    lacking = {}
    for place, (path, info) in wanted.items():
        name, stamp = place.relative_to(folder).as_posix(), _stamp(info)
        here = (*state_of(place), stamp) if place.is_file() else None
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
        note.files[name] = (*state_of(place), stamp)
    for name in [name for name in note.files if folder / name not in wanted]:
        del note.files[name]


def _found(store: Any, path: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The objects of a folder by their names in it: all but what is in its shards, of which only the name is there."""
    found = {}
    for one in _listed(store, path):
        name = one["name"].rstrip("/").rpartition("/")[2]
        if one["type"] != "directory" or name == SHARDS:
            found[name] = (one["name"], one)
            continue
        folder = f"{one['name'].rstrip('/')}/"
        for place, info in store.find(folder, detail=True).items():
            if not place.endswith("/"):  # what some programs put there for the folder itself
                found[f"{name}/{place.removeprefix(folder)}"] = (place, info)
    return found


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


def _number(store: Any, path: str) -> int | None:
    try:
        return int(store.cat_file(f"{path}/{SAVED}"))
    except (FileNotFoundError, ValueError, IsADirectoryError, NotADirectoryError):
        return None


def _stamp(info: Mapping[str, Any]) -> str:
    """What tells that an object is not the one that was read: by the store, its hash or when it was written."""
    known = ("ETag", "etag", "md5Hash", "blob_id", "sha", "LastModified", "last_modified", "mtime", "created", "size")
    return " ".join(f"{key}={info[key]}" for key in known if info.get(key) is not None)
