"""A run folder that is made before the first of what it is to hold, and is gone again if that comes to nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evolvent.errors import EvolventError
from evolvent.files import LOCK, MANIFEST, make_folder
from evolvent.runs.folder import RunFolder
from evolvent.runs.inputs import CHECKED
from evolvent.runs.lock import FolderLock
from evolvent.runs.manifest import read_manifest
from evolvent.shard import SHARDS


@contextmanager
def made_run_folder(path: Path) -> Iterator[None]:
    """A folder as a run folder, made if need be, into which what is made meanwhile is entered; gone if nothing was."""
    if (path / MANIFEST).exists():
        yield
        return
    new = make_folder(path)
    with RunFolder(path) as folder:
        folder.write()
    try:
        yield
    except BaseException:
        with suppress(EvolventError):  # another process holds it
            _remove(path, new)
        raise


def _remove(path: Path, new: Sequence[Path]) -> None:
    """Remove a run folder without an entry.

    Args:
        path: the folder.
        new: it and its parents, if they are to go, too.

    Raises:
        EvolventError: another process holds it.
    """
    if not (path / MANIFEST).exists():
        return
    lock = FolderLock(path)
    lock.take()
    try:
        if read_manifest(path):
            return
        for file in (path / MANIFEST, path / LOCK, *path.glob(CHECKED.format(stage="*"))):
            file.unlink(missing_ok=True)
    finally:
        lock.undo()
    with suppress(OSError):
        (path / SHARDS).rmdir()
    with suppress(OSError):  # a stopped training has left its checkpoints, a worker its shard
        for parent in new:
            parent.rmdir()
