"""A dry run: what a stage would call, use and cost, found out before anything is spent.

The stage's own work runs on a sample of its records, with models that call nothing. Each call is rendered and counted;
its reply is a stand-in of which the next call can be made. What has to be assumed is named in the estimate.
"""

import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evolvent.costs.estimates import Estimate, ModelEstimate
from evolvent.costs.prices import Price
from evolvent.errors import InputError
from evolvent.models.protocols import ChatModel, Reply, Sampling, Usage
from evolvent.models.token_counts import TokenCounter, open_counter
from evolvent.models.uri import parse_uri
from evolvent.records import Message, Record

if TYPE_CHECKING:
    from evolvent.costs.budget import Spent

Work = Callable[[Record], Awaitable[Sequence[Record]]]

# Makes of a prompt and the stand-in for its reply one that the work can read.
StandIn = Callable[[str, str], str]

# Records that are rehearsed; all of them where there are no more.
SAMPLE = 500

# Different prompts that are shown.
SHOWN = 2

# An answer to an instruction, in tokens: of the published answers to AlpacaEval's 805 instructions those of GPT-4 Turbo
# have 512 on average and those of Mistral-7B-Instruct 419 (at four characters a token).
ANSWER_TOKENS = 500

# Evolution asks for 10 to 20 words more a round. So a stand-in reply is what the prompt holds of the record's
# instruction, and these fifteen words: never empty, never unchanged, as long as what was asked for. To a judge, who is
# asked whether two instructions are equal, it says that they are not.
FIFTEEN_WORDS = " Give your reasons for each step, and two examples of it that are not equal."
STAND_IN = "(stand-in for a reply)"
STAND_IN_ENDS = re.compile(f"(?:{re.escape(FIFTEEN_WORDS)})+")


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast calls can be made, as far as it is known.

    Attributes:
        requests_per_minute, tokens_per_minute: the caps that the user set for each server's model.
        concurrency: calls at once.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrency: int | None = None


async def rehearse(
    work: Callable[[Mapping[str, ChatModel]], Work],
    uris: Iterable[str],
    records: Iterable[Record],
    total: int,
    *,
    stage: str,
    prices: Mapping[str, Price],
    spent: Iterable["Spent"] = (),
    reply_tokens: int | None = None,
    rates: Rates = Rates(),
    stand_in: StandIn = lambda _, text: text,
) -> Estimate:
    """Rehearse a stage: its work on a sample of its records, with models that call nothing.

    Args:
        work: given the models by URI, the work for one record.
        uris: the models' URIs as the user wrote them, the keys that ``work`` looks up.
        records: the stage's input.
        total: how many records that is.
        stage: the stage's name.
        prices: by URI as records hold it; a model may lack one.
        spent: what the folder's calls have used: where it holds calls of this stage and model, their mean says how
            long a reply is.
        reply_tokens: how long a reply is assumed to be otherwise (``ANSWER_TOKENS`` for answers); None for a rewrite of
            the instruction with fifteen words more.
        rates: what is known of the speed.
        stand_in: makes of a prompt and the stand-in for its reply one that the work can read.

    Returns:
        The estimate for all records.

    Raises:
        InputError: a bad URI, a template that cannot work: what the stage itself would raise before its first call.
    """
    before = {use.model: use for use in spent if use.stage == stage and use.calls}
    in_work = _InWork(stand_in)
    named = list(dict.fromkeys(uris))
    if "embedded-base" in named:
        raise InputError("embedded-base is a base model: it does not follow instructions", fix="Use embedded.")
    models = {uri: _Rehearsed(str(parse_uri(uri)), open_counter(uri), in_work) for uri in named}
    do = work(models)
    rehearsed, failed = 0, []
    for record in sample(records, total):
        rehearsed += 1
        in_work.instruction = record.instruction.strip()
        failed += [row.reason or "" for row in await do(record) if row.status == "failed"]
    scale = total / rehearsed if rehearsed else 0.0
    return Estimate(
        stage,
        total,
        rehearsed,
        tuple(
            _estimate(model, total, scale, prices.get(model.uri), before.get(model.uri), reply_tokens, rates)
            for model in models.values()
        ),
        tuple(in_work.shown),
        (len(failed), failed[0]) if failed else None,
        sum(use.calls for use in before.values()),
    )


def sample(records: Iterable[Record], total: int) -> Iterator[Record]:
    """The first record and others drawn evenly from all, ``SAMPLE`` in all, in order; the same at every dry run."""
    if total <= SAMPLE:
        yield from records
        return
    # drawn, not every n-th: the operator goes by the record's number, so every fifth record has the same one
    drawn = {0, *random.Random(0).sample(range(1, total), SAMPLE - 1)}
    for index, record in enumerate(records):
        if index in drawn:
            yield record
            drawn.remove(index)
            if not drawn:
                return


@dataclass(slots=True)
class _InWork:
    """The record in work, and the first prompts of all."""

    stand_in: StandIn
    instruction: str = ""
    shown: list[tuple[str, tuple[Message, ...]]] = field(default_factory=list)

    def reply(self, model: str, messages: Sequence[Message]) -> tuple[str, int]:
        """The stand-in reply to a conversation, and how many earlier stand-ins the conversation holds."""
        if len(self.shown) < SHOWN:
            prompt = (model, tuple(map(_marked, messages)))
            if prompt not in self.shown:  # several replies may be drawn to one
                self.shown.append(prompt)
        # a stand-in is known by its end: a leading marker in the instruction may be gone by now
        held = [len(run) // len(FIFTEEN_WORDS) for run in STAND_IN_ENDS.findall(messages[-1]["content"])]
        text = self.instruction + FIFTEEN_WORDS * (max(held, default=0) + 1)
        return self.stand_in(messages[-1]["content"], text), len(held)


def _marked(turn: Message) -> Message:
    """A turn as it is shown: a stand-in says that it is one."""
    return {**turn, "content": STAND_IN_ENDS.sub(rf"\g<0> {STAND_IN}", turn["content"])}


@dataclass(slots=True)
class _Rehearsed:
    """A ChatModel that counts what it is asked and calls nothing."""

    uri: str
    counter: TokenCounter
    in_work: _InWork
    identity: str = "rehearsed"
    concurrency: int = 1
    calls: int = 0
    prompt_tokens: int = 0
    prompt_tokens_at_most: int = 0
    stand_in_tokens: int = 0
    max_tokens: int = 0
    holding_replies: int = 0

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """A stand-in reply.

        Raises:
            CallError: the model's chat template refuses the conversation.
        """
        prompt = self.counter.prompt(messages)
        text, replies = self.in_work.reply(self.uri, messages)
        completion = min(self.counter.text(text), sampling.max_tokens)
        self.calls += 1
        self.prompt_tokens += prompt
        self.prompt_tokens_at_most += prompt + replies * sampling.max_tokens
        self.stand_in_tokens += completion
        self.max_tokens += sampling.max_tokens
        self.holding_replies += replies > 0
        return Reply(text, "stop", Usage(prompt, completion, estimated=True))

    async def close(self) -> None:
        pass


def _estimate(
    model: _Rehearsed,
    total: int,
    scale: float,
    price: Price | None,
    before: "Spent | None",
    reply_tokens: int | None,
    rates: Rates,
) -> ModelEstimate:
    calls = round(model.calls * scale)
    prompt, prompt_most = round(model.prompt_tokens * scale), round(model.prompt_tokens_at_most * scale)
    most = round(model.max_tokens * scale)
    if before is not None:
        completion = round(calls * before.completion_tokens / before.calls)
        replies = f"the mean of {before.calls:,} calls in this folder"
    elif reply_tokens is not None:
        completion, replies = calls * reply_tokens, f"assumed: {reply_tokens} tokens each"
    else:
        completion, replies = (
            round(model.stand_in_tokens * scale),
            "assumed: the instruction and 15 words more, a judge's too",
        )
    completion = min(completion, most)
    return ModelEstimate(
        model.uri,
        calls,
        prompt,
        completion,
        prompt_most,
        most,
        price.of(prompt, completion) if price else None,
        price.of(prompt_most, most) if price else None,
        least_seconds(model.uri, calls, prompt + completion, rates),
        model.counter.how,
        replies,
        model.counter.exact and scale == 1 and not model.holding_replies,
        # a record's calls of one model follow one another: there are no more at once than records
        calls / min(rates.concurrency, total) if rates.concurrency and total else None,
    )


def least_seconds(uri: str, calls: int, tokens: int, rates: Rates) -> float | None:
    """The least time that calls of a model take: that of the narrower cap; None without one. Servers only have caps.

    The duration of calls that the folder holds says nothing of it: it includes the time that they waited for their
    turn, which depends on how many waited.
    """
    known = []
    if parse_uri(uri).scheme == "openai":
        if rates.requests_per_minute is not None:
            known.append(60 * calls / rates.requests_per_minute)
        if rates.tokens_per_minute is not None:
            known.append(60 * tokens / rates.tokens_per_minute)
    return max(known, default=None)
