"""The command line: its commands in their order, and how one ends: a problem in one message, a signal in one line."""

import errno
import gc
import os
import resource
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evolvent.commands.table import COMMANDS, made
from evolvent.errors import EvolventError, InputError, RunError, printable
from evolvent.interrupts import Interrupted, end_now, ended_by_signals
from evolvent.object_storage.urls import with_urls
from evolvent.streams import ReaderGoneError, guard_standard_streams

# Open files that any command gets by with, torch's, the store's and a sandbox's among them.
LEAST_FILES = 64


class Ending(TyperGroup):
    """The commands; Ctrl-C or SIGTERM in one of them is said in a line of our own."""

    def invoke(self, ctx: Any) -> Any:
        for argument in sys.argv[1:]:
            if any("\ud800" <= sign <= "\udfff" for sign in argument):
                fix = "Check the encoding of the terminal, or of the file that it comes from."
                raise InputError(f"the argument {argument!r} is not text in UTF-8", fix=fix)
        allow_open_files()
        try:
            with ended_by_signals():
                return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise too_few_files() from error
            if error.filename is None:  # of an open file: a disk that fails
                words = f"the system reports: {error.strerror or error}"
                raise RunError(
                    words, fix="The system's log (dmesg) says more of a disk; --debug says where."
                ) from error
            # a path that the system refuses: too long, through a file that is no folder, not to be entered
            raise InputError(f"{os.fsdecode(error.filename)}: {error.strerror}", fix="Check the path.") from error


def allow_open_files() -> None:
    """Let this process open as many files as any command needs, where the shell allows fewer.

    Raises:
        InputError: the system does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in range(LEAST_FILES):
        if hard in range(LEAST_FILES):
            raise too_few_files()
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_FILES, hard))


def too_few_files() -> InputError:
    """What to say where no further file can be opened."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return InputError(f"the limit of open files is {limit:,}: too few for this command", fix="Raise it: ulimit -n 4096")


class Commands(Ending):
    """The commands; the one that is asked for is made of its function's options, and no other is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        typed = str(name) if ctx.parent is None else f"{ctx.info_name} {name}"
        return name, made(typed, rest) if typed in COMMANDS else command, rest


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    help="Make instruction-tuning data with small language models: evolve, answer, score, select.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,  # noqa: ARG001 (main reads it)
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from importlib import metadata

        typer.echo(f"evolvent {metadata.version('evolvent')}")
        raise typer.Exit


rank = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    help="Rank evolvers, teachers or data for a base model.",
    no_args_is_help=True,
)
for name, command in COMMANDS.items():
    group = rank if name.startswith("rank ") else app
    group.command(name.removeprefix("rank "), help=command.help)(lambda: None)
app.add_typer(rank, name="rank")


def main() -> None:
    """The ``evolvent`` command."""
    guard_standard_streams()
    # Arrow's own allocator keeps what it once had: 40 MB more at the peak of a small run.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Python looks for garbage after every 700 new objects: a tenth of the time of a run with hundreds of calls at once.
    gc.set_threshold(50_000, 20, 20)
    end_well(app)


def end_well(app: typer.Typer) -> None:
    """Run the command line; every problem that a user can cause ends in one message and its exit status."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    debug = "--debug" in given[:end]  # accepted before the command and behind it
    try:
        app([argument for argument in given[:end] if argument != "--debug"] + given[end:])
    except EvolventError as error:
        if debug:
            sys.stderr.write(printable(traceback.format_exc()))
        if isinstance(error, Interrupted):
            end_now(error)
        if not isinstance(error, ReaderGoneError):
            sys.stderr.write(f"error: {printable(with_urls(str(error)))}\n")
        sys.exit(error.exit_status)
