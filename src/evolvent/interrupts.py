"""Ctrl-C and SIGTERM of a command: one line and its own exit status, at whatever moment they come.

What they raise goes down through our own code. Where others' code is imported, or loads a model, it may get lost there,
turn into another error or abort the process, so that the process ends at once instead: nothing is under way then that
a kill could harm. While an event loop runs, asyncio's own handler cancels what runs in it.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from evolvent.errors import EvolventError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_loading: list[bool] = []  # one for each model that is being loaded


class Interrupted(EvolventError):
    """The user stopped the command (Ctrl-C); it can be continued."""

    exit_status = 130


class ToldToEnd(Interrupted):
    """The system stopped the command (SIGTERM); it can be continued."""

    exit_status = 143


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A command while it works.

    Raises:
        Interrupted, ToldToEnd: a signal ended it.
    """
    told = threading.Event()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def end(number: int, frame: FrameType | None) -> None:
        told.set()
        # The way down of Ctrl-C, through the event loop and the threads.
        interrupt_now = signal.getsignal(signal.SIGINT)
        if not callable(interrupt_now):
            raise KeyboardInterrupt
        interrupt_now(number, frame)

    if before[signal.SIGINT] is signal.SIG_IGN:  # a shell's background job: it goes on ignoring Ctrl-C
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, end)
        yield
    except KeyboardInterrupt:
        raise _problem(signal.SIGTERM if told.is_set() else signal.SIGINT) from None
    finally:
        for number in reversed(SIGNALS):  # SIGTERM's first, which asks for the other
            if before[number] is not None:  # else it was not set from Python
                signal.signal(number, before[number])


@contextmanager
def cancelling() -> Iterator[None]:
    """While an event loop runs: asyncio puts its own handler in the place of Python's, and of no other."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is interrupt
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, interrupt)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """While others' code loads a model: what ends the command then ends the process, where it is a command."""
    _loading.append(True)
    try:
        yield
    finally:
        _loading.pop()


@contextmanager
def killed_by_signals() -> Iterator[None]:
    """While others' code lets no handler of Python's run: what ends a command then ends the process without a word."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is interrupt
    before = [(number, signal.getsignal(number)) for number in SIGNALS] if ours else []
    for number, _ in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def interrupt(number: int, frame: FrameType | None) -> None:
    """What a command does on Ctrl-C outside event loops."""
    while frame is not None:
        if _loading or frame.f_code.co_filename.startswith("<frozen importlib"):
            end_now(_problem(number))
        frame = frame.f_back
    raise KeyboardInterrupt


def end_now(error: Interrupted) -> None:
    """Say what ended the process, and end it: all is on disk, and taking torch down in good order can take seconds."""
    sys.stderr.write(f"{error}\n")
    sys.stderr.flush()
    os._exit(error.exit_status)


def _problem(number: int) -> Interrupted:
    if number == signal.SIGTERM:
        return ToldToEnd("told to end (SIGTERM); start the same command again to go on")
    return Interrupted("interrupted; start the same command again to go on")
