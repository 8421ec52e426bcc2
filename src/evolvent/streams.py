"""Standard output and error of a command: nobody who does not read, and no full disk, holds up or ends its work.

What is said on standard error is dropped where nobody takes it. What cannot be written to standard output is an error,
raised where it is written: the work before it is done by then.
"""

import io
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from evolvent.errors import EvolventError, RunError

PATIENCE_S = 1.0  # for a reader who is slow; one who has not read for so long is not waited for again


class ReaderGoneError(EvolventError):
    """Nobody reads standard output any more (``| head``): nothing is left to be done, or to be said."""

    exit_status = 141


class Descriptor(io.RawIOBase):
    """A standard stream without a buffer, over a function that writes all it is given or drops it."""

    def __init__(self, number: int, write: Callable[[memoryview], None]) -> None:
        self._number = number
        self._write = write

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._write(memoryview(data))
        return len(data)


def guard_standard_streams() -> None:
    """Put streams in the place of ``sys.stdout`` and ``sys.stderr`` that keep to what this module says.

    A closed descriptor is opened: the next file would get its number, and what is printed would go into that file.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):  # what is written to output is to fail
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
    # A terminal may know ASCII only.
    for name, number, write in (("stdout", 1, write_output), ("stderr", 2, _dropping())):
        encoding = getattr(getattr(sys, name), "encoding", "utf-8")
        stream = io.TextIOWrapper(
            Descriptor(number, write),  # type: ignore[type-var]  # as Python itself has it under -u
            encoding,
            "backslashreplace",
            write_through=True,
        )
        setattr(sys, name, stream)


def write_all(number: int, data: memoryview) -> None:
    """Write to a descriptor, also to one that does not block: whoever shares it may have made it so."""
    while data:
        select.select([], [number], [])
        with suppress(BlockingIOError):  # another writer was faster
            data = data[os.write(number, data) :]


def write_output(data: memoryview) -> None:
    """Write to standard output.

    Raises:
        ReaderGoneError: nobody reads it any more.
        RunError: it cannot be written.
    """
    try:
        write_all(1, data)
    except BrokenPipeError:
        raise ReaderGoneError("nobody reads standard output any more") from None
    except OSError as error:
        raise RunError(
            f"standard output cannot be written: {error.strerror}",
            fix="Send it elsewhere. What a stage made is in its folder, and stays there.",
        ) from None


def _dropping() -> Callable[[memoryview], None]:
    patience = PATIENCE_S

    def write(data: memoryview) -> None:
        nonlocal patience
        with suppress(OSError):
            # A pipe that is ready takes so much without waiting for its reader.
            while data and select.select([], [2], [], patience)[1]:
                data = data[os.write(2, data[: select.PIPE_BUF]) :]
        patience = 0 if data else PATIENCE_S

    return write
