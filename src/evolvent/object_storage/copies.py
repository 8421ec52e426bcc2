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

from evolvent.files import CALLS, MANIFEST, make_folder, replacing
from evolvent.node_disk import make_node_folder
from evolvent.shard import SHARDS
from evolvent.storage_errors import explained

SAVED, LEASE = ".saved", ".lease"  # objects of a run folder in a store: its last save's number, who works in it
# What is of this node alone: locks, what sqlite has beside a file, what is not finished, what is found again.
OWN = re.compile(
    r"\.lock|\.lease.*|\.saved|.*\.sqlite-(wal|shm|journal)|\..*\.(tmp|saved|copy|lock)|\..*\.part|\.(calls-probe|checked-).*"
)


@dataclass(slots=True)
class Note:
    """What is known of a copy.

    Attributes:
        numbers: of the save that it was last the same as, and of those since that may not have been finished.
        files: by their paths in it, the files of that save: size and time here, and what the store said of each.
    """

    numbers: list[int] = field(default_factory=list)
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, place: Path) -> Self:
        """The note of a copy; an empty one where there is none, or it is damaged."""
        try:
            found = orjson.loads(_note_of(place).read_bytes())
            return cls(found["numbers"], {name: tuple(one) for name, one in found["files"].items()})
        except (FileNotFoundError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return cls()

    def write(self, place: Path) -> None:
        """Keep it; errors as of ``replacing``."""
        with replacing(_note_of(place)) as file:
            file.write(orjson.dumps(asdict(self)))


def _note_of(place: Path) -> Path:
    return place.with_name(f".{place.name}.saved")


@contextmanager
def alone_with(place: Path) -> Iterator[None]:
    """A copy while nobody else on this node brings or saves it."""
    with explained(place):
        make_node_folder()
        make_folder(place.parent)
        file = os.open(place.with_name(f".{place.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def differs(place: Path, note: Note) -> bool:
    """Whether a run folder's copy is not what its note says."""
    here = files_of(place)
    return note.files.keys() != here.keys() or any(note.files[name][:2] != state for name, state in here.items())


def files_of(place: Path) -> dict[str, tuple[int, int]]:
    """The files of a run folder's copy, with their states; without those of shards and of run folders within it."""
    found = {}
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if not _is_of_others(Path(folder, name))]
        for name in files:
            if not OWN.fullmatch(name):
                file = Path(folder, name)
                with suppress(FileNotFoundError):  # finished, and removed, meanwhile
                    found[file.relative_to(place).as_posix()] = state_of(file)
    return found


def beside(place: Path) -> dict[str, tuple[int, int]]:
    """A file that is no run's, and those beside it whose names begin as its own does, with their states."""
    there = place.parent.iterdir() if place.parent.is_dir() else ()
    return {one.name: state_of(one) for one in there if one.name.startswith(f"{place.stem}.") and one.is_file()}


def _is_of_others(folder: Path) -> bool:
    return folder.name == SHARDS or OWN.fullmatch(folder.name) is not None or _note_of(folder).exists()


def state_of(file: Path) -> tuple[int, int]:
    """The size of a file and when it was changed, of a call store with what is in its log."""
    state = file.stat()
    size, changed = state.st_size, state.st_mtime_ns
    if file.name == CALLS:
        with suppress(FileNotFoundError):
            log = file.with_name(f"{file.name}-wal").stat()
            if log.st_size:  # who only reads makes an empty one
                size, changed = size + log.st_size, max(changed, log.st_mtime_ns)
    return size, changed


def is_of_stage(name: str) -> bool:
    """Whether a run's own stages write a file of this name in its folder, while they hold it."""
    *folders, last = name.split("/")
    return last in {MANIFEST, CALLS} or any(folder.endswith(".parts") for folder in folders)
