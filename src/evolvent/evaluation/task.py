"""Task: a benchmark as a value: what is asked, how a reply is judged, and which figures that gives."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from evolvent.records import Column, Score
from evolvent.sandbox.sandbox import Sandbox

# An item as its data set has it: the question, the reference, what a verdict needs.
Document = Mapping[str, Any]

# Asks a process of its own (``apart``): given a value of JSON the answer as another; None where it took too long.
Ask = Callable[[Any], Awaitable[Any]]


class NoVerdict(Exception):
    """Nothing can be said of a reply; the words say why."""


class Tools(NamedTuple):
    """What verdicts may need besides the reply: each is there for the tasks that need it.

    Attributes:
        sandbox: runs what the model wrote.
        apart: asks a module in a process of its own.
        judge: asks a judge; it is given the item's id and a prompt.
    """

    sandbox: Sandbox | None = None
    apart: Ask | None = None
    judge: Callable[[str, str], Awaitable[str]] | None = None


# What a reply to an item comes to: a value for each column of its task.
Judge = Callable[[Document, str, Tools], Awaitable[dict[str, Score]]]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a task: over its items, the mean of a column, or the sum of a column over the sum of another.

    Attributes:
        name: as it is printed.
        column: the column of what an item scores.
        of: the column of what it could score at the most; None for 1 each.
        groups: the column of kinds of items that all weigh the same, however many items they have.
        cluster: the column that says which items stand or fall together; no item with another, if not given.
    """

    name: str
    column: str
    of: str | None = None
    groups: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    Attributes:
        name: what users call it, and the name of its file in ``tasks/``.
        about: what it measures, how it asks.
        measures: its figures.
        judge: judges a reply.
        columns: further columns of its verdicts, which are no figures.
        runs_code: whether its verdicts run what the model wrote, in the sandbox.
        apart: the module that its verdicts ask, in a process of its own.
        judged: whether its verdicts need a judge.
    """

    name: str
    about: str
    measures: tuple[Measure, ...]
    judge: Judge
    columns: tuple[Column, ...] = ()
    runs_code: bool = False
    apart: str = ""
    judged: bool = False

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns of its verdicts."""
        counted = dict.fromkeys(name for one in self.measures for name in (one.column, one.of) if name)
        return (*(Column(name, better="higher") for name in counted), *self.columns)
