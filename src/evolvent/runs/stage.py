"""Stage: a piece of work as a value. Functions such as ``evolve`` build one; ``runs.local`` executes any of them.

A stage is plain data: URIs and not models, sources of templates and not what is compiled of them. So it can be sent to
another process, and the unit of execution is the same everywhere: make part k (``runs.local.make_parts``).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from evolvent.call_store.used import Used
from evolvent.models.models import Need
from evolvent.models.protocols import StageModels
from evolvent.options import Calling
from evolvent.records import CUT, Column, Record
from evolvent.runs.inputs import StageInput

# Given a window of records, the rows that each of them becomes.
Make = Callable[[Sequence[Record]], Awaitable[Sequence[Sequence[Record]]]]


class Ended(NamedTuple):
    """What work on the whole set came to: what it counted, and what its result took from each model, by URI."""

    counts: Mapping[str, Any]
    used: Mapping[str, Used] = {}


# Given the stage's input and its file (or folder), which it writes itself.
MakeWhole = Callable[[StageInput, Path], Awaitable[Ended]]


class Work(Protocol):
    """What a stage does to its records: plain data, and a way to open it."""

    def open(self, models: StageModels) -> AbstractAsyncContextManager[Make]:
        """Make it ready to work. What it needs besides models (a sandbox, say) lives as long as the context."""
        ...


class WholeWork(Protocol):
    """What a stage does to its whole input at once."""

    def open(self, models: StageModels) -> AbstractAsyncContextManager[MakeWhole]:
        """Make it ready to work."""
        ...


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A dry run of a stage runs its work on a sample of its records, with replies made up.

    Attributes:
        reply_tokens: how long a reply is assumed to be; None for a rewrite of the instruction.
        reply_begins: what the made-up replies begin with, so that the work can read them.
        work: the work as it is rehearsed, where it differs: it throws none of these replies away.
    """

    reply_tokens: int | None = None
    reply_begins: str = ""
    work: Work | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """A dry run of a stage whose calls depend on replies: how many there are at the most, by a formula.

    Attributes:
        records: how many records they are made for.
        calls: by model URI as records hold it, how many calls there are at the most.
        max_tokens: how long a reply may be.
        lines: the formula, with its numbers, and what it rests on.
    """

    records: int
    calls: Mapping[str, int]
    max_tokens: int
    lines: tuple[str, ...]


def uncounted(_: Record) -> str | None:
    """The group of no row."""
    return None


def notes_of(row: Record) -> Iterator[str]:
    """What there is to say of a row: that it was cut, what it says although it passed."""
    if row.finish_reason in CUT:
        yield CUT[row.finish_reason]
    if row.status == "ok" and row.reason:
        yield row.reason


def nothing_more(_: Path) -> Mapping[str, Any]:
    """Makes no further file, and counts nothing further."""
    return {}


async def no_trial(_: StageModels) -> None:
    """Tries nothing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A piece of work as a value.

    Attributes:
        name: its row in the table of stages.
        settings: every setting that changes its output.
        source: its input.
        needs: the models that it calls.
        work: what it does to its records.
        trial: what is asked of the models before the first record; it raises if they will not do. No dry run does it.
        window: how many records the work takes at once: 1, a fixed number, or None for the whole set; then it writes
            its file, or folder, itself.
        columns: the score columns of its rows, in their order.
        group: what a row is counted under (its round, its teacher): "" for no group of its own; None if it is not
            counted at all.
        notes: what there is to say of a row, counted.
        counts: what was counted before.
        derive: makes further files of the finished one, before the stage counts as done; returns further counts.
        dry_run: how a dry run estimates it.
        calls_each: about how many calls a record takes, for the time that is left; 0 where that is not known.
        adds_to: the settings of the finished stage whose rows get further columns.
        grows: settings that may grow, and ``input`` if that may: then the stage is made anew from the stored calls,
            and the rows that are there become the same rows, but for those that a limit had cut.
    """

    name: str
    settings: Mapping[str, Any]
    source: StageInput
    needs: tuple[Need, ...]
    work: Work | WholeWork
    trial: Callable[[StageModels], Awaitable[None]] = no_trial
    window: int | None = 1
    columns: tuple[Column, ...] = ()
    group: Callable[[Record], str | None] = uncounted
    notes: Callable[[Record], Iterable[str]] = notes_of
    counts: Mapping[str, Any] = field(default_factory=dict)
    derive: Callable[[Path], Mapping[str, Any]] = nothing_more
    dry_run: Rehearsed | Formula = Rehearsed()
    calls_each: float = 0.0
    adds_to: Mapping[str, Any] | None = None
    grows: tuple[str, ...] = ()


class Drawing(Protocol):
    """How replies are drawn, among a stage's options."""

    @property
    def seed(self) -> int: ...

    @property
    def temperature(self) -> float: ...

    @property
    def top_p(self) -> float: ...

    @property
    def max_tokens(self) -> int: ...


def chat_settings(given: Drawing, calling: Calling) -> dict[str, Any]:
    """The settings that decide what chat models reply."""
    drawing = {name: getattr(given, name) for name in ("seed", "temperature", "top_p", "max_tokens")}
    return {**drawing, "extra_body": dict(calling.extra_body) if calling.extra_body else None}
