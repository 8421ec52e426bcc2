"""Processes that tests start: the one place that decides what they inherit of whatever started the tests.

A shell's background job ignores Ctrl-C, nohup's takes no input, a terminal lends its width: a test must not notice.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LONG_S = 300  # for what takes seconds, on a machine that is busy
YARDSTICK_S = 0.1


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    output: str
    errors: str
    seconds: float


def python(code: str, *arguments: str | Path) -> list[str]:
    """The command that runs this code with this Python."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def start(
    command: Sequence[str | bytes | Path],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    in_background: bool = False,
) -> subprocess.Popen[str]:
    """Start a command without a terminal; what it says is kept.

    Args:
        command: its words.
        folder: where it works; the tests' own folder if None.
        variables: environment variables of the test's own.
        in_background: whether it ignores Ctrl-C, as a shell's background jobs do; else it hears it, whatever the tests
            themselves do.
    """
    with _ctrl_c(signal.SIG_IGN if in_background else signal.default_int_handler):  # a handler becomes the default one
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def finish(process: subprocess.Popen[str], timeout: float = LONG_S) -> Ended:
    """Wait for a started process; what takes longer is killed and raises TimeoutExpired with all that it said.

    Returns:
        How it ended; ``seconds`` counts from this call.
    """
    began = time.monotonic()
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        process.kill()
        expired.output, expired.stderr = process.communicate()
        raise
    return Ended(process.returncode, output, errors, time.monotonic() - began)


def wait_until(
    there: Callable[[], object], process: subprocess.Popen[str] | None = None, timeout: float = LONG_S
) -> None:
    """Wait until something is there that a process, which must not end before, brings about.

    Raises:
        AssertionError: the process ended; all that it said.
        TimeoutExpired: the time is over; the process is killed.
    """
    began = time.monotonic()
    while not there():
        if process is not None and process.poll() is not None and not there():
            raise AssertionError(f"it ended too early: {finish(process)}")
        if time.monotonic() - began > timeout:
            if process is not None:
                finish(process, timeout=0)
            raise subprocess.TimeoutExpired("wait_until", timeout)
        time.sleep(0.005)


@contextmanager
def _ctrl_c(handler: signal.Handlers | Callable[..., object]) -> Iterator[None]:
    """Children inherit whether Ctrl-C is ignored, and whether it is blocked. Only in the main thread."""
    before = signal.signal(signal.SIGINT, handler)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, before)


def slowness() -> float:
    """How many times as long as on an idle machine work takes here and now: seconds of a second of processor time.

    A limit on the clock says what an idle machine keeps to; times this, a busy one keeps to it too.
    """
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < YARDSTICK_S:
        pass
    return max(1.0, (time.monotonic() - began) / YARDSTICK_S)
