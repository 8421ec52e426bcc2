"""Task: a benchmark as a value: what is asked, how a reply is judged, and which figures that gives."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evolvent.models.protocols import Reply
from evolvent.records import Column, Message, Score
from evolvent.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    import numpy as np

# An item as its data set has it: the question, the reference, what a verdict needs.
Document = Mapping[str, Any]

# Asks a process of its own (``apart``): given a value of JSON the answer as another; None where it took too long.
Ask = Callable[[Any], Awaitable[Any]]


class NoVerdict(Exception):
    """Nothing can be said of a reply, or not all there is to say; the words say why.

    Attributes:
        known: the columns that are known all the same.
    """

    def __init__(self, why: str, known: Mapping[str, Score] | None = None) -> None:
        super().__init__(why)
        self.known = known or {}


class Tools(NamedTuple):
    """What verdicts may need besides the reply: each is there for the tasks that need it.

    Attributes:
        sandbox: runs what the model wrote.
        apart: asks a module in a process of its own.
        judge: asks a judge; a call that fails is ``NoVerdict``.
        further: the replies to the further turns of the item's conversation.
    """

    sandbox: Sandbox | None = None
    apart: Ask | None = None
    judge: Callable[[Sequence[Message]], Awaitable[Reply]] | None = None
    further: Sequence[str] = ()


# What a reply to an item comes to, in a conversation the first one: a value for each column of its task.
Judge = Callable[[Document, str, Tools], Awaitable[dict[str, Score]]]


# A figure of two numbers of each item, float64 of shape [items] both; None where it does not exist.
Estimate = Callable[["np.ndarray", "np.ndarray"], float | None]
Unit = Literal["%", "points"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a task: over its items, the mean of a column, or the sum of a column over the sum of another.

    Attributes:
        name: as it is printed.
        column: the column of what an item scores.
        of: the column of what it could score at the most; None for 1 each.
        groups: the column of kinds of items that all weigh the same, however many items they have.
        cluster: the column that says which items stand or fall together; no item with another, if not given.
        unit: what it is printed in.
        estimate: another figure of these two columns than the ratio of their sums.
    """

    name: str
    column: str
    of: str | None = None
    groups: str | None = None
    cluster: str | None = None
    unit: Unit = "%"
    estimate: Estimate | None = None


def nothing(_: Path | None) -> None:
    """Needs nothing."""


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
        judged: how often its verdicts ask a judge; 0 where they need none.
        judge_version: that of the prompt that a judge is asked with.
        then: fields of its documents that are further turns of the user, each asked after the reply to the one before.
        library: what its verdicts come from, besides what every evaluation needs.
        find: finds what its verdicts need besides models, given the folder of data; it raises where that is nowhere.
    """

    name: str
    about: str
    measures: tuple[Measure, ...]
    judge: Judge
    columns: tuple[Column, ...] = ()
    runs_code: bool = False
    apart: str = ""
    judged: int = 0
    judge_version: str = ""
    then: tuple[str, ...] = ()
    library: str = ""
    find: Callable[[Path | None], None] = nothing

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns of its verdicts."""
        counted = dict.fromkeys(name for one in self.measures for name in (one.column, one.of) if name)
        own = {column.name: column for column in self.columns}
        return (*(Column(name, better="higher") for name in counted if name not in own), *self.columns)
