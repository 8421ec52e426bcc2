"""A dry run of a stage whose calls depend on one another: its prompts are planned, each for so many calls."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolvent.costs.estimates import Estimate, ModelEstimate
from evolvent.costs.prices import Price
from evolvent.models.token_counts import TokenCounter, open_counter
from evolvent.models.uri import parse_uri
from evolvent.records import Message
from evolvent.runs.rehearsal import Rates, least_seconds

if TYPE_CHECKING:
    from evolvent.costs.budget import Spent


@dataclass(frozen=True, slots=True)
class Planned:
    """A prompt that a stage would send, and the calls that it stands for.

    Attributes:
        model: the model's URI as records hold it.
        messages: the prompt; for replies that are yet to come it holds stand-ins.
        reply_tokens: how long its reply is assumed to be.
        max_tokens: how long it may be.
        held: how many replies the prompt holds stand-ins for.
        times: how many calls it stands for.
        shown: whether to show the prompt.
    """

    model: str
    messages: Sequence[Message]
    reply_tokens: int
    max_tokens: int
    held: int = 0
    times: int = 1
    shown: bool = False


def estimate(
    stage: str,
    records: int,
    planned: Sequence[Planned],
    models: Iterable[str],
    *,
    prices: Mapping[str, Price],
    spent: Iterable["Spent"],
    rates: Rates,
    said: Sequence[str],
) -> Estimate:
    """What the planned calls would take.

    Args:
        stage: the stage's name.
        records: how many records they are made for.
        planned: the calls.
        models: the models' URIs as the user wrote them.
        prices: by URI as records hold it; a model may lack one.
        spent: what the folder's calls have used: where it holds calls of this stage and model, their mean says how
            long a reply is.
        rates: what is known of the speed.
        said: what the plan rests on, a line each.
    """
    before = {use.model: use for use in spent if use.stage == stage and use.calls}
    counters = {str(parse_uri(uri)): open_counter(uri) for uri in models}
    shown = tuple((call.model, tuple(call.messages)) for call in planned if call.shown)
    found = tuple(
        _estimate(
            uri, counter, [call for call in planned if call.model == uri], prices.get(uri), before.get(uri), rates
        )
        for uri, counter in counters.items()
    )
    return Estimate(
        stage, records, records, found, shown, None, sum(use.calls for use in before.values()), said=tuple(said)
    )


def _estimate(
    uri: str,
    counter: TokenCounter,
    planned: Sequence[Planned],
    price: Price | None,
    before: "Spent | None",
    rates: Rates,
) -> ModelEstimate:
    calls = prompt = completion = prompt_most = most = 0
    for call in planned:
        tokens = counter.prompt(call.messages)
        calls += call.times
        prompt += call.times * tokens
        prompt_most += call.times * (tokens + call.held * call.max_tokens)
        completion += call.times * min(call.reply_tokens, call.max_tokens)
        most += call.times * call.max_tokens
    replies = "assumed for each kind of call"
    if before is not None:
        completion = min(round(calls * before.completion_tokens / before.calls), most)
        replies = f"the mean of {before.calls:,} calls in this folder"
    return ModelEstimate(
        uri,
        calls,
        prompt,
        completion,
        prompt_most,
        most,
        price.of(prompt, completion) if price else None,
        price.of(prompt_most, most) if price else None,
        least_seconds(uri, calls, prompt + completion, rates),
        counter.how,
        replies,
        counter.exact and not any(call.held for call in planned),
        calls / rates.concurrency if rates.concurrency else None,
    )
