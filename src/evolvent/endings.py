"""How a command ends: a problem in one message, a signal in one line, each with its exit status."""

import io
import os
import signal
import sys
import threading
import traceback
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from evolvent.errors import EvolventError, InputError, printable


class Interrupted(EvolventError):
    """The user stopped the command (Ctrl-C); it can be continued."""

    exit_status = 130


class ToldToEnd(Interrupted):
    """The system stopped the command (SIGTERM); it can be continued."""

    exit_status = 143


class Ending(TyperGroup):
    """The commands; Ctrl-C or SIGTERM in one of them is said in a line of our own."""

    def invoke(self, ctx: Any) -> Any:
        for argument in sys.argv[1:]:
            if any("\ud800" <= sign <= "\udfff" for sign in argument):
                fix = "Check the encoding of the terminal, or of the file that it comes from."
                raise InputError(f"the argument {argument!r} is not text in UTF-8", fix=fix)
        told_to_end = threading.Event()

        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: it goes on ignoring Ctrl-C
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which an event loop replaces by its own

        def end(number: int, frame: FrameType | None) -> None:
            told_to_end.set()
            interrupt = signal.getsignal(signal.SIGINT)
            assert callable(interrupt)
            interrupt(number, frame)  # the way down of Ctrl-C, through the event loop and the threads

        signal.signal(signal.SIGTERM, end)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if told_to_end.is_set():
                raise ToldToEnd("told to end (SIGTERM); start the same command again to go on") from None
            raise Interrupted("interrupted; start the same command again to go on") from None
        except OSError as error:
            if error.filename is None:
                raise
            # a path that the system refuses: too long, through a file that is no folder, not to be entered
            raise InputError(f"{os.fsdecode(error.filename)}: {error.strerror}", fix="Check the path.") from error


def end_well(app: typer.Typer) -> None:
    """Run the command line; every problem that a user can cause ends in one message and its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    debug = "--debug" in given[:end]  # accepted before the command and behind it
    try:
        app([argument for argument in given[:end] if argument != "--debug"] + given[end:])
    except EvolventError as error:
        if debug:
            sys.stderr.write(printable(traceback.format_exc()))
        if isinstance(error, Interrupted):
            sys.stderr.write(f"{printable(str(error))}\n")
            sys.stderr.flush()
            os._exit(error.exit_status)  # all is on disk; taking torch down in good order can take seconds
        sys.stderr.write(f"error: {printable(str(error))}\n")
        sys.exit(error.exit_status)
