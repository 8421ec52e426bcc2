"""What the commands print: what a run holds, where the files are, what this machine can run."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evolvent.errors import InputError

if TYPE_CHECKING:
    from evolvent.doctor import Finding
    from evolvent.runs.calls import StoredCall
    from evolvent.runs.estimates import Estimate
    from evolvent.runs.summary import Table

# Characters of a turn or a reply in a list of calls.
SHOWN = 400


def print_run(run: Any) -> None:
    """How a stage ended: its run's summary, its file, and what to do about failures; of a dry run, the estimate."""
    if run.estimate is not None:
        print_estimate(run.estimate)
        return
    if run.already_done:
        typer.echo(f"nothing to do: {run.output} is finished")
    print_summary(run.path, examples=0)
    typer.echo(f"\nwritten: {run.output}")
    if run.counts.get("failed"):
        typer.echo(f"{run.counts['failed']:,} failed; the same command with --retry-failed takes just those again")


def print_estimate(estimate: "Estimate") -> None:
    """What a dry run found: the first prompts, what the stage would take, and what the figures rest on."""
    for prompt in estimate.shown_prompts():
        typer.echo(f"{prompt}\n")
    print_tables([estimate.table()])
    for note in estimate.notes():
        typer.echo(note)


def print_estimates(stages: dict[str, Any]) -> None:
    """What a dry run found of a recipe's stages, and that it says nothing of the others."""
    for done in stages.values():
        print_estimate(done.estimate)
    typer.echo("a stage that reads what an earlier one has yet to make, and one that calls no chat model, is left out")


def print_calls(found: "Iterator[StoredCall]", limit: int) -> None:
    """The first calls, one after the other, and how many more there are."""
    printed = more = 0
    for call in found:
        if printed == limit:
            more += 1
            continue
        printed += 1
        typer.echo(f"[{call.at}] {call.stage} {call.record} {call.model} {call.seconds:.2f} s")
        for turn in call.request.get("messages", ()):
            typer.echo(f"  {turn['role']}: {_short(turn['content'])}")
        if call.reply is not None:
            text = str(call.reply.get("text", call.reply))
            typer.echo(f"  reply ({call.reply.get('finish_reason', 'token losses')}): {_short(text)}")
        if call.error is not None:
            typer.echo(f"  failed: {call.error['error']}")
    typer.echo(f"{printed + more:,} calls" + (f", {more:,} not shown: --limit N, or --out FILE.jsonl" if more else ""))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text):,} characters)"


def print_summary(folder: Path, *, examples: int) -> None:
    """The tables of a run folder, then so many example trajectories."""
    import pyarrow as pa

    from evolvent.runs.summary import summary, trajectories

    try:
        tables = [*summary(folder), *trajectories(folder, examples)]
    except pa.ArrowException as error:
        raise InputError(
            f"a file in {folder} is damaged: {error}", fix="Make it anew: its stage's command with --fresh."
        ) from error
    print_tables(tables)


def print_tables(tables: "Iterable[Table]") -> None:
    """Tables with their titles."""
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in tables:
        console.print(Text(f"\n{table.title}", style="bold"))
        shown = Drawn()
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
