"""Paths as users write them: expanded, and asked of the system once."""

import os
from pathlib import Path

from evolvent.errors import InputError


def locate(name: str | Path, purpose: str) -> tuple[Path, os.stat_result | None]:
    """Expand ``~`` in a path and look what is there.

    Args:
        name: the path, as the user wrote it.
        purpose: what is to be done with the file ("read"), for messages.

    Returns:
        The path, and its state; None if there is nothing.

    Raises:
        InputError: the path cannot be looked at: no such user, a name too long, a folder that may not be entered.
    """
    try:
        path = Path(name).expanduser()
        return path, path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path, None
    except OSError as error:
        raise InputError(f"{name} cannot be {purpose}: {error.strerror or error}", fix="Check the path.") from None
    except (RuntimeError, ValueError) as error:  # of expanduser: no such user; of stat: a NUL byte
        raise InputError(f"{name} cannot be {purpose}: {str(error).rstrip('.')}", fix="Check the path.") from None


def check_not_read(out: Path, *inputs: object) -> None:
    """Check that a file to be written is none of those that are read.

    Args:
        out: the file to be written.
        inputs: paths that are read; whatever is no path is passed over.

    Raises:
        InputError: it is one of them.
    """
    if not out.exists():
        return
    for read in inputs:
        if isinstance(read, str | Path) and Path(read).exists() and out.samefile(read):
            raise InputError(f"--out {out} is the data itself", fix="Choose another name.")
