"""What a stage is expected to take, before anything is spent."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from evolvent.records import Message


@dataclass(frozen=True, slots=True)
class Caps:
    """What is known of how fast calls are made: a server's caps that the user set, and how many at once."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrency: int | None = None

    def times(self, servers: int) -> "Caps":
        """Those of a model with so many servers: each of them has its own."""
        return Caps(
            self.requests_per_minute and servers * self.requests_per_minute,
            self.tokens_per_minute and servers * self.tokens_per_minute,
            self.concurrency and servers * self.concurrency,
        )

    def least_seconds(self, calls: int, tokens: int) -> float | None:
        """The least time that calls of a server's model take: that of the narrower cap; None without one.

        The duration of calls that a folder holds says nothing of it: it includes the time that they waited for their
        turn, which depends on how many waited.
        """
        known = []
        if self.requests_per_minute is not None:
            known.append(60 * calls / self.requests_per_minute)
        if self.tokens_per_minute is not None:
            known.append(60 * tokens / self.tokens_per_minute)
        return max(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEstimate:
    """What a stage is expected to take of one model.

    Attributes:
        model: its URI as records hold it.
        calls: how many, none asked again.
        prompt_tokens: tokens in; None where they are not known.
        completion_tokens: tokens out; None where they are not known.
        prompt_tokens_at_most, completion_tokens_at_most: if every reply ran to its token limit.
        cost, cost_at_most: in the prices' currency; None without a price.
        seconds: the least that the caps allow; None without a cap.
        call_lengths: how many calls follow one another at the ``--concurrency`` that was given, so many seconds for
            each second that a call takes; None if none was given.
        prompts: how the tokens in were counted.
        replies: where the length of replies comes from.
        exact: whether ``prompt_tokens`` is what will be sent: every prompt was counted by the model's own tokenizer and
            none holds a reply that is yet to come.
    """

    model: str
    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    prompt_tokens_at_most: int | None
    completion_tokens_at_most: int
    cost: float | None
    cost_at_most: float | None
    seconds: float | None
    prompts: str
    replies: str
    exact: bool
    call_lengths: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage is expected to take.

    Attributes:
        stage: its name.
        records: how many it has.
        rehearsed: how many of them were rehearsed; 0 where a formula says how many calls there are.
        models: what it takes of each model.
        prompts: the first prompts, as (model, conversation); a reply yet to come has a stand-in that says so.
        failing: rehearsed rows that would fail before they reach a model, and why the first would; None if none would.
        stored: calls of this stage that the folder holds already.
        differences: how the settings and the input differ from those that the folder holds this stage with, one line
            each; none if it does not hold it, or with these very settings.
        finished: whether the folder holds this stage finished with these very settings.
        lines: what else the figures rest on, a line each.
    """

    stage: str
    records: int
    rehearsed: int
    models: tuple[ModelEstimate, ...]
    prompts: tuple[tuple[str, tuple[Message, ...]], ...]
    failing: tuple[int, str] | None
    stored: int
    differences: tuple[str, ...] = ()
    finished: bool = False
    lines: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        return sum(model.calls for model in self.models)

    @property
    def cost(self) -> float | None:
        """What all models together are expected to cost; None if one has no price."""
        return _sum(model.cost for model in self.models)

    @property
    def cost_at_most(self) -> float | None:
        """What they cost if every reply ran to its token limit; None if one has no price."""
        return _sum(model.cost_at_most for model in self.models)

    @property
    def seconds(self) -> float | None:
        """The least time that the caps allow, of the slowest model (they work side by side); None if one has no cap."""
        times = [model.seconds for model in self.models]
        return max((time for time in times if time is not None), default=0.0) if None not in times else None


def _sum(amounts: Iterable[float | None]) -> float | None:
    """The sum; None if one of the amounts is not known."""
    found = list(amounts)
    return None if None in found else math.fsum(amount for amount in found if amount is not None)
