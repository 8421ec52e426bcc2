"""This user's folder on the node's own disk (TMPDIR): what is kept apart from where it belongs, because that is slow,
shared or far away."""

import os
import stat
import tempfile
from pathlib import Path

from evolvent.errors import InputError
from evolvent.storage_errors import explained


def node_folder() -> Path:
    """Where it is; it may not be there yet."""
    return Path(tempfile.gettempdir(), f"evolvent-{os.geteuid()}")


def is_ours(folder: Path) -> bool:
    """Whether a folder that is there is this user's."""
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid()


def make_node_folder() -> None:
    """Make it, for this user alone.

    Raises:
        InputError: another user has made it.
    """
    folder = node_folder()
    with explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_ours(folder):
            raise InputError(f"{folder} is another user's", fix="Name a folder of your own in TMPDIR.")
