"""The command line: its commands in their order, and how it ends."""

import gc
import os
from typing import Annotated, Any

import typer

from evolvent.commands.table import COMMANDS, made
from evolvent.endings import Ending, end_well


class Commands(Ending):
    """The commands; the one that is asked for is made of its function's options, and no other is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, made(str(name), rest) if name in COMMANDS else command, rest


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


for name, command in COMMANDS.items():
    app.command(name, help=command.help)(lambda: None)


def main() -> None:
    """The ``evolvent`` command."""
    # Arrow's own allocator keeps what it once had: 40 MB more at the peak of a small run.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Python looks for garbage after every 700 new objects: a tenth of the time of a run with hundreds of calls at once.
    gc.set_threshold(50_000, 20, 20)
    end_well(app)
