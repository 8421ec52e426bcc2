"""A pilot as it is told: what became of the sample with each profile, examples, and what the whole run would take."""

from collections.abc import Iterator

import typer

from evolvent.costs.prices import money
from evolvent.errors import printable
from evolvent.records import Record
from evolvent.report.printing import print_tables
from evolvent.report.tables import Table
from evolvent.report.yields import in_words, yield_of
from evolvent.runs.pilot import Pilot, Trial
from evolvent.runs.progress import time_words

# Evolutions that are shown of each profile, and how many of those are usable ones if there are others.
EXAMPLES, USABLE = 3, 2
SHOWN = 300


def print_pilot(found: Pilot) -> None:
    """What came of a pilot."""
    typer.echo(f"pilot of {found.sampled:,} of {found.records:,} seeds")
    for profile, trial in found.trials.items():
        typer.echo()
        made = yield_of(trial.counts)
        if made is not None:
            typer.echo(printable(in_words(profile, made)))
        for line in examples(trial):
            typer.echo(line)
    print_tables([projection(found)])


def how_to_go_on(found: Pilot, profile: str) -> str:
    """What to type to evolve all seeds."""
    return (
        f"to evolve all {found.records:,} seeds: the same command with --no-pilot --profile {profile} in place of "
        f"--pilot; the calls of the pilot are stored in {found.path} and not paid again"
    )


def examples(trial: Trial) -> Iterator[str]:
    """Some evolutions, each with its parent and its verdict, in which nothing steers a terminal."""
    rows = {row.id: row for row in trial.rows}
    evolved = [row for row in trial.rows if row.round]
    usable = [row for row in evolved if row.status == "ok"]
    others = [row for row in evolved if row.status != "ok"]
    shown = usable[: max(USABLE, EXAMPLES - len(others))]
    for row in [*shown, *others[: EXAMPLES - len(shown)]]:
        verdict = row.status if row.reason is None else f"{row.status}: {row.reason}"
        yield f"  round {row.round}, {printable(row.operator or row.method or '')} [{printable(verdict)}]"
        yield f"    {_short(rows[row.parent_id or row.seed_id])}"
        yield f"    → {_short(row)}"


def projection(found: Pilot) -> Table:
    """What all seeds would take with each profile."""
    columns = ["profile", "usable", "tokens out a usable row", "tokens/s", "time", "calls", "tokens in", "tokens out"]
    priced = all(trial.expected.cost is not None for trial in found.trials.values())
    rows, notes = [], ["~: what the sample took, scaled to all seeds; time at the speed of the sample"]
    for profile, trial in found.trials.items():
        each, speed, expected = trial.tokens_per_usable, trial.tokens_per_second, trial.expected
        cells = [profile, f"{trial.share:.0%}", "" if each is None else f"{each:,.0f}"]
        cells += ["" if speed is None else f"{speed:,.0f}"]
        cells += ["" if expected.seconds is None else f"~{time_words(expected.seconds)}"]
        cells += [f"~{n:,}" for n in (expected.calls, expected.prompt_tokens, expected.completion_tokens)]
        if priced and expected.cost is not None:
            cells.append(f"~{money(expected.cost)}" if expected.cost else "0")
        if speed is None:
            notes.append(f"{profile}: no speed and no time, as all its calls were stored before")
        rows.append(tuple(cells))
    if priced:
        columns.append("cost")
    title = f"what a run of all {found.records:,} seeds would take"
    return Table(title, tuple(columns), rows, tuple(notes))


def _short(row: Record) -> str:
    text = printable(" ".join(row.question.split()))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
