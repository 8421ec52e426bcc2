"""What a stage is expected to take, before anything is spent, and how that is told."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolvent.costs.prices import HOW, money
from evolvent.records import Message
from evolvent.report.tables import short_names, time_words

if TYPE_CHECKING:
    from evolvent.report.tables import Table


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
    call_lengths: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage is expected to take.

    Attributes:
        stage: its name.
        records: how many it has.
        rehearsed: how many of them were rehearsed.
        models: what it takes of each model.
        prompts: the first prompts, as (model, conversation); a reply yet to come has a stand-in that says so.
        failing: rehearsed rows that would fail before they reach a model, and why the first would; None if none would.
        stored: calls of this stage that the folder holds already.
        differences: how the settings and the input differ from those that the folder holds this stage with, one line
            each; none if it does not hold it, or with these very settings.
        finished: whether the folder holds this stage finished with these very settings.
        said: what else the figures rest on, a line each.
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
    said: tuple[str, ...] = ()

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

    def tables(self) -> "list[Table]":
        """A table for each model, and one for all together if there are several."""
        from evolvent.report.tables import Table

        tables = []
        for model in [*self.models, *([self._together()] if len(self.models) > 1 else [])]:
            columns = ["", "calls", "tokens in", "tokens out"]
            prompt = f"{'' if model.exact else '~'}{model.prompt_tokens:,}"
            expected = ["expected", f"{model.calls:,}", prompt, f"~{model.completion_tokens:,}"]
            most = ["at most", "", f"{model.prompt_tokens_at_most:,}", f"{model.completion_tokens_at_most:,}"]
            if model.cost is not None and model.cost_at_most is not None:
                columns.append("cost")
                expected.append(f"~{money(model.cost)}" if model.cost_at_most else "0")
                most.append(money(model.cost_at_most) if model.cost_at_most else "0")
            title = f"{self.stage}: what it would take of {model.model}"
            tables.append(Table(title, tuple(columns), [tuple(expected), tuple(most)]))
        return tables

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
        lines.append(f"{self.stage}, {f'rehearsed on {of} records' if self.models else 'planned'}; nothing was called")
        lines += self.said
        if self.models:
            lines.append("~: estimated; at most: if every reply is as long as max_tokens allows")
        names, _ = short_names(model.model for model in self.models)
        for model in self.models:
            lines.append(f"{names[model.model]}:")
            lines += [f"  tokens in: {model.prompts}", f"  tokens out: {model.replies}", f"  time: {_time(model)}"]
        if len(self.models) > 1 and self.seconds is not None:
            lines.append(f"time together: about {time_words(self.seconds)}; the models work side by side")
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
        if any(model.seconds is None and model.call_lengths is None for model in self.models):
            lines.append(
                "no time: how fast a model answers is not known. --concurrency N tells how many calls follow one "
                "another; --max-requests-per-minute and --max-tokens-per-minute tell the least time of a server"
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
            "all models together",
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


def _time(model: ModelEstimate) -> str:
    known = []
    if model.seconds is not None:
        known.append(f"about {time_words(model.seconds)}, the least that the caps allow")
    if model.call_lengths is not None:
        known.append(f"about {time_words(model.call_lengths)} for each second that a call takes, at this --concurrency")
    return "; ".join(known) or "not known"


def _sum(amounts: Iterable[float | None]) -> float | None:
    found = list(amounts)
    return None if None in found else math.fsum(amount for amount in found if amount is not None)
