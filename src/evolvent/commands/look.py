"""The command that looks into a run's calls."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from evolvent.call_store.options import Wanted
from evolvent.files import output_path
from evolvent.options import argument, option, takes
from evolvent.report.printing import print_calls
from evolvent.words import number_of

RUN = argument("A run folder.", "RUN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """How many calls are printed, or where they go."""

    limit: int = option("How many to print.", 10, metavar="N", least=1)
    out: Path | None = option("Write all of them to a file instead.", None, metavar="FILE.jsonl")


@takes(Wanted, Printing)
def calls(run: Annotated[str, RUN], wanted: Wanted, printing: Printing) -> None:
    """Look into a run's calls: prompts, replies, failures."""
    from evolvent.call_store import log

    found = log.stored_calls(Path(run), wanted, None if printing.out else printing.limit)
    if printing.out is not None:
        out = output_path(printing.out)
        typer.echo(f"{out}: {number_of(log.export(found, out), 'calls')}")
        return
    total = log.count_calls.plain(run, wanted)
    print_calls(found, total, [] if total else log.why_none(run, wanted))
