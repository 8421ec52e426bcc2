"""What is known of a task while it calls: the record it works for, what that took from its models, what failed."""

from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from evolvent.models.protocols import Reply
from evolvent.records import Message


@dataclass(slots=True)
class Used:
    """What records took from one model, whether it was paid for now or found in the store.

    Attributes:
        calls: replies.
        prompt_tokens, completion_tokens: of these replies.
        estimated: whether some of the tokens were not counted by the server.
        unusable: replies that could not be worked with (empty, say), so that another was asked for.
        cut_max_tokens: replies whose bound was lowered to fit the context.
        empty: replies without text that stayed so, however often they were asked for.
        thrown_away: completion tokens of replies that could not be worked with, and of those behind rows that were
            eliminated or failed.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    unusable: int = 0
    cut_max_tokens: int = 0
    empty: int = 0
    thrown_away: int = 0

    def count(self, reply: Reply) -> None:
        """Count one reply."""
        self.calls += 1
        self.prompt_tokens += reply.usage.prompt_tokens
        self.completion_tokens += reply.usage.completion_tokens
        self.estimated |= reply.usage.estimated
        self.cut_max_tokens += reply.cut_max_tokens is not None

    def add(self, other: "Used") -> None:
        """Add what others took."""
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.estimated |= other.estimated
        self.unusable += other.unusable
        self.cut_max_tokens += other.cut_max_tokens
        self.empty += other.empty
        self.thrown_away += other.thrown_away


@dataclass(slots=True)
class Asked:
    """What a model was asked for a row, and what it replied; None if the call failed: the row says why."""

    row: str
    model: str
    messages: Sequence[Message]
    reply: Reply | None = None


@dataclass(slots=True)
class RecordInWork:
    """The record that a task works for, and what it took from its models so far.

    Attributes:
        id: the record.
        used: by the models' URIs.
        behind: completion tokens behind each row that is made of it, by the row's id and the model's URI.
        ended_empty: whether the reply that was asked for last held no text.
        asked: every prompt and its reply, where they are to be shown; None where they are not kept.
    """

    id: str = ""
    used: dict[str, Used] = field(default_factory=dict)
    behind: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended_empty: bool = False
    asked: list[Asked] | None = None

    def used_of(self, uri: str) -> Used:
        """What it took from one model."""
        return self.used.setdefault(uri, Used())

    def throw_away(self, row: str) -> None:
        """Count what stands behind a row as thrown away."""
        for found, uri in [place for place in self.behind if place[0] == row]:
            self.used_of(uri).thrown_away += self.behind.pop((found, uri))


# Only for the account: never part of a call's key.
record_in_work: ContextVar[RecordInWork] = ContextVar("record_in_work")


@dataclass(slots=True)
class Failures:
    """Failed calls that stay failed: for work that chooses by what came of its calls, and that may be done again.

    Attributes:
        decided: what is done now was done before, and decided on: a call that the store holds as failed fails again.
        words: what the store holds of every call that has failed in this work, by its key: none is made again.
    """

    decided: bool = False
    words: dict[bytes, str] = field(default_factory=dict)


lasting_failures: ContextVar[Failures | None] = ContextVar("lasting_failures", default=None)
