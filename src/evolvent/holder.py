"""Who holds a folder: a process, told from any other, on this machine or another one."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import orjson


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease.

    Attributes:
        token: the lease's own name.
        written: all that its file holds; it changes with each beat.
        host, here, pid, began: the machine, what tells it and its processes' numbers from others, and the process.
        since: since when, UTC.
    """

    token: str
    written: bytes
    host: str = "unknown"
    here: str = ""
    pid: int = 0
    began: str = ""
    since: str = "unknown"

    @classmethod
    def read(cls, token: str, written: bytes) -> Self:
        """The holder that a lease's file names in its first line; unknown where that is damaged."""
        try:
            return cls(token, written, **orjson.loads(written.split(b"\n")[0]))
        except (orjson.JSONDecodeError, TypeError):
            return cls(token, written)

    @property
    def lives(self) -> bool | None:
        """Whether its process runs; None where it cannot be seen: on another machine, or in another container."""
        return None if self.here != _here() else _began(self.pid) in {self.began, ""}

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"


def this_process() -> bytes:
    """The first line of this process's own lease."""
    return orjson.dumps(
        {
            "host": socket.gethostname(),
            "here": _here(),
            "pid": os.getpid(),
            "began": _began(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def _here() -> str:
    """What tells this machine, since it was started, and its numbers of processes from others."""
    here = socket.gethostname()
    with suppress(OSError):
        here += f" {Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    return here


def _began(pid: int) -> str | None:
    """When a process began, which tells it from a later one of its number; empty if not told, None if it has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # another user's
        pass
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return None if state == "Z" else numbers[18]
