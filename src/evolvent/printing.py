"""What the commands print: what a run holds, where the files are, what this machine can run."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from evolvent.doctor import Finding


def print_run(run: Any) -> None:
    """How a stage ended: its run's summary, its file, and what to do about failures."""
    if run.already_done:
        typer.echo(f"nothing to do: {run.output} is finished")
    print_summary(run.path, examples=0)
    typer.echo(f"\nwritten: {run.output}")
    if run.counts.get("failed"):
        again = "the same command with --fresh asks again; answered calls are not paid twice"
        typer.echo(f"{run.counts['failed']:,} failed; {again}")


def print_summary(folder: Path, *, examples: int) -> None:
    """The tables of a run folder, then so many example trajectories."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from evolvent.runs.summary import summary, trajectories

    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in [*summary(folder), *trajectories(folder, examples)]:
        console.print(Text(f"\n{table.title}", style="bold"))
        shown = Table()
        for column in table.columns:
            shown.add_column(column)
        for row in table.rows:
            shown.add_row(*(Text(cell) for cell in row))
        console.print(shown)


def print_files(stages: dict[str, Any]) -> None:
    """The file that each stage wrote, a line each."""
    from evolvent.runs.summary import described
    from evolvent.selection.select import Selection

    for stage, done in stages.items():
        already = " (was done already)" if done.already_done else ""
        if isinstance(done, Selection):
            typer.echo(f"{stage}: {described(done.counts)}{already}\n  {done.path}\n  {done.note}")
        else:
            typer.echo(f"{stage}: {done.output}{already}")


def print_findings(findings: "Iterable[Finding]") -> None:
    """What ``evolvent doctor`` found, a line each."""
    for finding in findings:
        mark = "yes" if finding.usable else "no "
        typer.echo(f"{mark}  {finding.subject:<14} {finding.found}{f'  ({finding.note})' if finding.note else ''}")
