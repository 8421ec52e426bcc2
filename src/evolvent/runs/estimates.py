"""What a stage is expected to take, before anything is spent, and how that is told."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolvent.records import Message
from evolvent.runs.prices import HOW, money

if TYPE_CHECKING:
    from evolvent.runs.summary import Table


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """What a stage is expected to take of one model.

    Attributes:
        model: its URI as records hold it.
        calls: how many, none asked again.
        prompt_tokens: tokens in.
        completion_tokens: tokens out.
        prompt_tokens_at_most, completion_tokens_at_most: if every reply ran to its token limit.
        cost, cost_at_most: in the prices' currency; None without a price.
        seconds: at the rate that is known; None if none is.
        prompts: how the tokens in were counted.
        replies: where the length of replies comes from.
        exact: whether ``prompt_tokens`` is what will be sent: every prompt was counted by the model's own tokenizer and
            none holds a reply that is yet to come.
    """

    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_at_most: int
    completion_tokens_at_most: int
    cost: float | None
    cost_at_most: float | None
    seconds: float | None
    prompts: str
    replies: str
    exact: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage is expected to take.

    Attributes:
        stage: its name.
        records: how many it has.
        rehearsed: how many of them were rehearsed.
        models: what it takes of each model.
        prompts: the first prompts, as (model, conversation).
        failing: rehearsed rows that would fail before they reach a model, and why the first would; None if none would.
        stored: calls of this stage that the folder holds already.
        differences: how the settings and the input differ from those that the folder holds this stage with, one line
            each; none if it does not hold it, or with these very settings.
        finished: whether the folder holds this stage finished with these very settings.
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
        """The time of the slowest model (they work side by side); None if one's rate is not known."""
        times = [model.seconds for model in self.models]
        return max((time for time in times if time is not None), default=0.0) if None not in times else None

    def table(self) -> "Table":
        """A row for each model, and their sum if there are several."""
        from evolvent.runs.summary import Table

        columns = ("model", "calls", "tokens in", "at most", "tokens out", "at most", "cost", "at most", "time")
        rows = [_row(model) for model in self.models]
        if len(rows) > 1:
            rows.append(_row(self._together()))
        return Table(f"{self.stage}: what it would take", columns, rows)

    def notes(self) -> list[str]:
        """What the figures rest on, a line each."""
        of = f"all {self.records:,}" if self.rehearsed == self.records else f"{self.rehearsed:,} of {self.records:,}"
        lines = []
        if self.differences:
            lines.append(
                f"the folder holds {self.stage} with other settings: {'; '.join(self.differences)}. "
                "Without --fresh it would be refused"
            )
        if self.finished:
            lines.append(f"{self.stage} is finished in the folder with these settings: nothing would be called")
        lines.append(f"{self.stage}, rehearsed on {of} records; nothing was called")
        for model in self.models:
            lines.append(f"{model.model}: tokens in by {model.prompts}; tokens out: {model.replies}")
        lines.append("at most: every reply as long as max_tokens allows")
        lines.append("not counted: replies that cannot be used and are asked for again, twice at the most")
        if self.failing:
            lines.append(f"{self.failing[0]:,} rehearsed rows would fail; the first: {self.failing[1]}")
        if self.stored:
            lines.append(
                f"the folder holds {self.stored:,} calls of this stage; those that are the same are not paid again "
                "and are not subtracted here"
            )
        unpriced = [model.model for model in self.models if model.cost is None]
        if unpriced:
            lines.append(f"no cost: {', '.join(unpriced)} has no price. {HOW}")
        if self.seconds is None:
            lines.append(
                "no time: give --max-requests-per-minute or --max-tokens-per-minute for servers; or --concurrency, "
                "once the folder holds calls of this stage"
            )
        return lines

    def shown_prompts(self) -> list[str]:
        """The first prompts as text."""
        return [
            f"prompt {number}, to {model}\n" + "\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in messages)
            for number, (model, messages) in enumerate(self.prompts, 1)
        ]

    def _together(self) -> ModelEstimate:
        models = self.models
        return ModelEstimate(
            "together",
            self.calls,
            sum(model.prompt_tokens for model in models),
            sum(model.completion_tokens for model in models),
            sum(model.prompt_tokens_at_most for model in models),
            sum(model.completion_tokens_at_most for model in models),
            self.cost,
            self.cost_at_most,
            self.seconds,
            "",
            "",
            all(model.exact for model in models),
        )


def _row(model: ModelEstimate) -> tuple[str, ...]:
    return (
        model.model,
        f"{model.calls:,}",
        f"{'' if model.exact else 'about '}{model.prompt_tokens:,}",
        f"{model.prompt_tokens_at_most:,}",
        f"about {model.completion_tokens:,}",
        f"{model.completion_tokens_at_most:,}",
        *_costs(model.cost, model.cost_at_most),
        _time(model.seconds),
    )


def _costs(expected: float | None, at_most: float | None) -> tuple[str, str]:
    if expected is None or at_most is None:
        return "no price", "no price"
    return ("0", "0") if at_most == 0 else (f"about {money(expected)}", money(at_most))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:,.1f} {unit}"
    return f"about {seconds:.0f} s"


def _sum(amounts: Iterable[float | None]) -> float | None:
    found = list(amounts)
    return None if None in found else math.fsum(amount for amount in found if amount is not None)
