"""A copy on this node, of an object or of a run folder in a store: its files, and the note of what they were last.

A save has a number, which is the last thing of it that is written, there and here: a copy of the store's own last
number is as new as the store, or newer, and is gone on with; any other copy is brought up to date first.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import orjson

from evolvent.files import CALLS, make_folder
from evolvent.node_disk import make_node_folder
from evolvent.object_storage.urls import place_of
from evolvent.shard import SHARDS
from evolvent.storage_errors import explained

SAVED, LEASE = ".saved", ".lease"  # objects of a run folder in a store: its last save's number, who works in it
# What is of this node alone: locks, what sqlite has beside a file, what is not finished, what is found again.
OWN = re.compile(
    r"\.lock|\.lease.*|\.saved|.*-(wal|shm|journal)|\..*\.(tmp|saved|copy)|.*\.part|\.(calls-probe|checked-).*"
)


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


def changed(url: str) -> bool:
    """Whether anything of a copy has changed since it was saved last."""
    place = place_of(url)
    with noted(place) as file:
        return differs(place, Note.read(file))


def differs(place: Path, note: Note) -> bool:
    """Whether a copy is not what its note says."""
    here = {place.name: state_of(place)} if place.is_file() else files_of(place)
    return any(note.files.get(name, ())[:2] != state for name, state in here.items()) or (
        place.is_dir() and note.files.keys() != here.keys()
    )


def files_of(place: Path) -> dict[str, tuple[int, int]]:
    """The files of a copy, with their states."""
    found = {}
    for folder, folders, files in os.walk(place):
        if Path(folder) == place and SHARDS in folders:
            folders.remove(SHARDS)
        for name in files:
            file = Path(folder, name)
            inside = file.relative_to(place).as_posix()
            if is_of_run(inside):
                with suppress(FileNotFoundError):  # finished, and removed, meanwhile
                    found[inside] = state_of(file)
    return found


def is_of_run(name: str) -> bool:
    """Whether a file of a run folder is in its copy."""
    return name.split("/")[0] != SHARDS and not any(OWN.fullmatch(part) for part in name.split("/"))


def state_of(file: Path) -> tuple[int, int]:
    """The size of a file and when it was changed, of a call store with its log."""
    state = file.stat()
    beside = file.with_name(f"{file.name}-wal")
    if file.name != CALLS or not beside.exists():
        return state.st_size, state.st_mtime_ns
    log = beside.stat()
    return state.st_size + log.st_size, max(state.st_mtime_ns, log.st_mtime_ns)
