"""A pilot as it is told: what became of the sample with each profile, examples, and what the whole run would take."""

from collections.abc import Callable, Iterator, Mapping

import typer

from evolvent.costs.prices import money
from evolvent.errors import printable
from evolvent.object_storage.urls import url_or_path
from evolvent.records import Record
from evolvent.report.printing import print_tables
from evolvent.report.tables import Table
from evolvent.runs.progress import time_words
from evolvent.runs.sampled import Pilot, Trial
from evolvent.runs.yields import in_words, yield_of
from evolvent.words import number_of

# Evolutions that are shown of each profile, and how many of those are usable ones if there are others.
EXAMPLES, USABLE = 3, 2
SHOWN = 300


def print_pilot(found: Pilot) -> None:
    """What came of a pilot."""
    typer.echo(f"pilot of {found.sampled:,} of {number_of(found.records, 'seeds')}")
    for profile, trial in found.trials.items():
        typer.echo()
        made = yield_of(trial.counts)
        if made is not None:
            typer.echo(printable(in_words(profile, made)))
        for line in examples(trial):
            typer.echo(line)
    print_tables([projection(found.records, "seeds", found.trials)])


def how_to_go_on(found: Pilot, profile: str) -> str:
    """What to type to evolve all seeds."""
    return (
        f"to evolve all {number_of(found.records, 'seeds')}: the same command with --profile {profile} --no-pilot and "
        f"without --pilot; the calls of the pilot are stored in {url_or_path(found.path)} and not paid again"
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


def projection(records: int, what: str, found: Mapping[str, Trial]) -> Table:
    """What all records would take in each way, a column each; ``what`` they are called."""
    trials = found.values()
    rows = [
        ("usable", *(f"{trial.share:.0%}" for trial in trials)),
        ("tokens out a usable row", *(_amount(trial.tokens_per_usable) for trial in trials)),
        ("tokens out a second", *(_amount(trial.tokens_per_second) for trial in trials)),
        ("time", *(_about(trial.expected.seconds, time_words) for trial in trials)),
        ("calls", *(f"~{trial.expected.calls:,}" for trial in trials)),
        ("tokens in", *(f"~{trial.expected.prompt_tokens:,}" for trial in trials)),
        ("tokens out", *(f"~{trial.expected.completion_tokens:,}" for trial in trials)),
    ]
    if all(trial.expected.cost is not None for trial in trials):
        rows.append(("cost", *(_about(trial.expected.cost, money) for trial in trials)))
    scaled = f"~: what the sample took, scaled to all {what}, those whose replies are stored already among them"
    notes = [f"{scaled}; time at the speed of the sample"]
    for way, trial in found.items():
        if trial.tokens_per_second is None:
            notes.append(f"{way}: no speed and no time, as all its calls were stored before")
    return Table(f"what a run of all {number_of(records, what)} would take", ("", *found), rows, tuple(notes))


def _amount(amount: float | None) -> str:
    return "" if amount is None else f"{amount:,.0f}"


def _about(amount: float | None, words: Callable[[float], str]) -> str:
    return f"~{words(amount)}" if amount else "" if amount is None else "0"


def _short(row: Record) -> str:
    text = printable(" ".join(row.question.split()))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
