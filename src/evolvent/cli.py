"""The command line: its commands in their order, and how it ends."""

import gc
import os
from typing import Annotated

import typer

from evolvent.commands import data, evolution, pairs, runs
from evolvent.endings import Commands, end_well

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


for command in (
    runs.demo,
    evolution.evolve,
    evolution.optimize_method,
    evolution.keywords,
    evolution.verify,
    pairs.respond,
    pairs.score,
    pairs.select,
    runs.run,
    runs.show,
    runs.calls,
    data.convert,
    data.doctor,
):
    app.command()(command)


def main() -> None:
    """The ``evolvent`` command."""
    # Arrow's own allocator keeps what it once had: 40 MB more at the peak of a small run.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Python looks for garbage after every 700 new objects: a tenth of the time of a run with hundreds of calls at once.
    gc.set_threshold(50_000, 20, 20)
    end_well(app)
