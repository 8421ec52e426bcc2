"""Paths that name no regular file: pipes, devices, open files of this process (/dev/stdout). They are written into."""

import fcntl
import os
import re
import stat
import sys
from pathlib import Path

from evolvent.errors import InputError

STANDARD_OUTPUT = Path("/dev/stdout")
LINKS = 40  # that the system follows, one to another


def descriptor(path: Path) -> int | None:
    """The number of the open file of this process that a path names, also by way of links: 1 for /dev/stdout."""
    own = rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd"
    for _ in range(LINKS):
        folder = Path(os.path.realpath(path.parent))
        if re.fullmatch(r"[0-9]+", path.name) and re.fullmatch(own, str(folder)):
            return int(path.name)
        if not path.is_symlink():
            return None
        path = folder / path.readlink()
    return None


def is_written_through(path: Path) -> bool:
    """Whether a path names what no file may take the place of: a pipe, a device, an open file of this process.

    Raises:
        InputError: nothing can be written there: a folder, a socket, a disk, an open file that is not to be written.
    """
    number = descriptor(path)
    if number is not None:
        _check_handed_down(path, number)
        return True
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(kind):
        raise InputError(f"{path} is a folder", fix="Name a file in it.")
    if stat.S_ISSOCK(kind) or stat.S_ISBLK(kind):
        what = "a socket" if stat.S_ISSOCK(kind) else "a disk"
        raise InputError(f"{path} is {what}, not a file", fix="Name a file, a pipe or /dev/stdout.")
    return stat.S_ISFIFO(kind) or stat.S_ISCHR(kind)


def _check_handed_down(path: Path, number: int) -> None:
    """Check that an open file was given to this process to write: where none was, it may have put one of its own."""
    try:
        closed = {1: sys.__stdout__, 2: sys.__stderr__}.get(number, path) is None
        read_only = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        own = stat.S_ISREG(os.fstat(number).st_mode) and not os.get_inheritable(number)
    except OSError:
        closed = read_only = own = True
    if closed or read_only or own:
        raise InputError(f"{path} is not open to be written", fix="Name a file, or open it: > FILE.")
