"""Commands that need no run: converting data, and what this machine can do."""

from pathlib import Path
from typing import Annotated

import typer

from evolvent.commands import options as option
from evolvent.commands.values import mapping
from evolvent.report.printing import print_findings


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A data file or a Hub id.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file: .jsonl .json .csv .parquet.", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="NAME", help="messages, alpaca, sharegpt or prompt_completion.", show_default=False
        ),
    ],
    format: option.Format = None,
    map: option.Map = None,
    skip_bad: option.SkipBad = False,
    limit: option.Limit = None,
) -> None:
    """Convert instruction data from one format to another."""
    from evolvent.datasets.convert import convert as run_convert

    counts = run_convert(source, out, to=to, format=format, map=mapping(map, "--map"), skip_bad=skip_bad, limit=limit)
    typer.echo(f"{out}: {counts}")


def doctor() -> None:
    """Say what this machine can run."""
    from evolvent.doctor import examine

    print_findings(examine())
