"""A dry run: what a stage would call, use and cost, found out before anything is spent.

The stage's own work runs on a sample of its records, with models that call nothing. Each call is rendered and counted;
its reply is made up, such that the next call can be made of it. A stage whose calls depend on replies in other ways
says by a formula how many there are. What has to be assumed is named in the estimate.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from evolvent.call_store.lengths import Length, reply_lengths
from evolvent.call_store.store import spent_in
from evolvent.concurrency import run_sync
from evolvent.costs.budget import Spent
from evolvent.costs.estimates import Caps, Estimate, ModelEstimate
from evolvent.costs.prices import Price
from evolvent.errors import InputError
from evolvent.models.models import is_server
from evolvent.models.protocols import ChatModel, Reply, Sampling, Usage
from evolvent.models.token_counts import TokenCounter, open_counter
from evolvent.models.uri import parse_uri, require_answering
from evolvent.options import Calling
from evolvent.records import Message, Record
from evolvent.runs.manifest import as_json, check_as_written, differences, growth, known_prices, read_manifest
from evolvent.runs.run import Run
from evolvent.runs.stage import Formula, Rehearsed, Stage, Work
from evolvent.stages import file_of
from evolvent.words import number_of

# Records that are rehearsed; all of them where there are no more.
SAMPLE = 500

# Different prompts that are shown.
SHOWN = 2

# An answer to an instruction, in tokens: of the published answers to AlpacaEval's 805 instructions those of GPT-4 Turbo
# have 512 on average and those of Mistral-7B-Instruct 419 (at four characters a token).
ANSWER_TOKENS = 500

# Evolution asks for 10 to 20 words more a round. So a made-up reply is what the prompt holds of the record's
# instruction, and these fifteen words: never empty, never unchanged, as long as what was asked for. To a judge, who is
# asked whether two instructions are equal, it says that they are not.
FIFTEEN_WORDS = " Give your reasons for each step, and two examples of it that are not equal."
STAND_IN = "(stand-in for a reply)"
STAND_IN_ENDS = re.compile(f"(?:{re.escape(FIFTEEN_WORDS)})+")


def dry_run(stage: Stage, out: Path, calling: Calling) -> Run:
    """What a stage would take, and how it would stand to what its folder holds; the folder is read, never written.

    Raises:
        InputError: what the stage itself would raise before its first call.
    """
    uris = list(dict.fromkeys(need.uri for need in stage.needs if need.capability == "chat"))
    spent, entries = spent_in(out), read_manifest(out)
    prices = known_prices(calling.price, uris, spent, entries)
    caps = Caps(calling.max_requests_per_minute, calling.max_tokens_per_minute, calling.concurrency)
    before = {use.model: use for use in spent if use.stage == stage.name and use.calls}
    if isinstance(stage.dry_run, Formula):
        estimate = calculated(stage, stage.dry_run, prices, before, caps)
    else:
        lengths = reply_lengths(out, stage.name)
        estimate = run_sync(rehearse(stage, stage.dry_run, uris, prices, before, caps, lengths))
    entry = entries.get(stage.name)
    if entry is not None:
        settings = as_json(stage.settings, stage.name)
        found = tuple(differences(entry, settings, stage.source.about))
        finished = entry.state != "running" and bool(entry.finished) and not found
        if finished and not calling.fresh and (out / file_of(stage.name)).exists():
            check_as_written(out / file_of(stage.name), entry)
        source = entry.input if entry.state == "stale" else stage.source.about
        grown = growth(entry, settings, source, stage.grows, stage.source.begins_with)
        if grown:
            words = f"{stage.name} goes on in the folder: {', '.join(grown)}"
            found, estimate = (), replace(estimate, lines=(words, *estimate.lines))
        if entry.state == "stale" and not differences(entry, settings, entry.input):
            found = ()  # what it reads was made anew: it will be, too
        estimate = replace(estimate, differences=found, finished=finished)
    return Run(out, stage.name, out / file_of(stage.name), {}, estimate=estimate)


def calculated(
    stage: Stage, formula: Formula, prices: Mapping[str, Price], before: Mapping[str, Spent], caps: Caps
) -> Estimate:
    """The estimate by a formula: calls, and tokens as far as calls of this stage have shown what one takes."""
    models = []
    servers = {need.name: 1 + len(need.servers) for need in stage.needs}
    for uri, calls in formula.calls.items():
        at_once = caps.times(servers.get(uri, 1))
        use, price = before.get(uri), prices.get(uri)
        most = calls * formula.max_tokens
        prompt = round(calls * use.prompt_tokens / use.calls) if use else None
        mean = round(calls * use.completion_tokens / use.calls) if use else None
        completion = None if mean is None else min(mean, most)
        how = (
            f"the mean of {number_of(use.calls, 'calls')} in this folder" if use else "not known before the first calls"
        )
        expected = price.of(prompt, completion) if price and prompt is not None and completion is not None else None
        if price is not None and not price.prompt and not price.completion:
            expected = 0.0
        seconds = at_once.least_seconds(calls, (prompt or 0) + (completion or 0)) if is_server(uri) else None
        models.append(
            ModelEstimate(
                model=uri,
                calls=calls,
                prompt_tokens=prompt,
                completion_tokens=completion,
                prompt_tokens_at_most=None,
                completion_tokens_at_most=most,
                cost=expected,
                cost_at_most=0.0 if expected == 0 else None,
                seconds=seconds,
                call_lengths=calls / at_once.concurrency if at_once.concurrency else None,
                prompts=how,
                replies=how + (", but no more than max_tokens allows" if (mean or 0) > most else ""),
                exact=False,
            )
        )
    stored = sum(use.calls for use in before.values())
    return Estimate(stage.name, formula.records, 0, tuple(models), (), None, stored, lines=formula.lines)


async def rehearse(
    stage: Stage,
    how: Rehearsed,
    uris: Sequence[str],
    prices: Mapping[str, Price],
    before: Mapping[str, Spent],
    caps: Caps,
    lengths: Mapping[tuple[str, int], Length] = {},
) -> Estimate:
    """Rehearse a stage: its work on a sample of its records, with models that call nothing."""
    for uri in uris:
        require_answering(parse_uri(uri))
    in_work = _InWork(how.reply_begins)
    models = {name: _MadeUp(name, open_counter(uri), in_work) for uri in uris if (name := str(parse_uri(uri)))}
    each = {str(uri): caps.times(1 + len(uri.more_base_urls)) for uri in map(parse_uri, uris)}
    total, rehearsed, failed = stage.source.rows, 0, []
    async with cast(Work, how.work or stage.work).open(_MadeUpModels(models)) as make:
        for record in sample(stage.source, total):
            rehearsed += 1
            in_work.instruction = record.instruction.strip()
            [rows] = await make([record])
            failed += [row.reason or "" for row in rows if row.status == "failed"]
    scale = total / rehearsed if rehearsed else 0.0
    return Estimate(
        stage.name,
        total,
        rehearsed,
        tuple(
            _estimate(model, total, scale, prices.get(name), before.get(name), lengths, how.reply_tokens, each[name])
            for name, model in models.items()
        ),
        tuple(in_work.shown),
        (len(failed), failed[0]) if failed else None,
        sum(use.calls for use in before.values()),
    )


def sample(records: Iterable[Record], total: int, size: int = SAMPLE) -> Iterator[Record]:
    """The first record and others drawn evenly from all, ``size`` in all, in order; the same each time."""
    if total <= size:
        yield from records
        return
    # drawn, not every n-th: the operator goes by the record's number, so every fifth record has the same one
    drawn = {0, *random.Random(0).sample(range(1, total), size - 1)}
    for index, record in enumerate(records):
        if index in drawn:
            yield record
            drawn.remove(index)
            if not drawn:
                return


@dataclass(slots=True)
class _InWork:
    """The record in work, and the first prompts of all."""

    reply_begins: str
    instruction: str = ""
    shown: list[tuple[str, tuple[Message, ...]]] = field(default_factory=list)

    def reply(self, model: str, messages: Sequence[Message]) -> tuple[str, int]:
        """The made-up reply to a conversation, and how many earlier ones the conversation holds."""
        if len(self.shown) < SHOWN:
            prompt = (model, tuple(map(_marked, messages)))
            if prompt not in self.shown:  # several replies may be drawn to one
                self.shown.append(prompt)
        # one is known by its end: a leading marker in the instruction may be gone by now
        earlier = [len(run) // len(FIFTEEN_WORDS) for run in STAND_IN_ENDS.findall(messages[-1]["content"])]
        text = self.instruction + FIFTEEN_WORDS * (max(earlier, default=0) + 1)
        return self.reply_begins + text, len(earlier)


def _marked(turn: Message) -> Message:
    """A turn as it is shown: a made-up reply says that it is one."""
    return {**turn, "content": STAND_IN_ENDS.sub(rf"\g<0> {STAND_IN}", turn["content"])}


@dataclass(slots=True)
class _MadeUp:
    """A ChatModel that counts what it is asked and calls nothing."""

    uri: str
    counter: TokenCounter
    in_work: _InWork
    identity: str = "rehearsed"
    concurrency: int = 1
    calls: int = 0
    prompt_tokens: int = 0
    prompt_tokens_at_most: int = 0
    reply_tokens: int = 0
    limits: Counter[int] = field(default_factory=Counter)  # calls by max_tokens
    holding_replies: int = 0

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """A made-up reply.

        Raises:
            CallError: the model's chat template refuses the conversation.
        """
        prompt = self.counter.prompt(messages)
        text, replies = self.in_work.reply(self.uri, messages)
        completion = min(self.counter.text(text), sampling.max_tokens)
        self.calls += 1
        self.prompt_tokens += prompt
        self.prompt_tokens_at_most += prompt + replies * sampling.max_tokens
        self.reply_tokens += completion
        self.limits[sampling.max_tokens] += 1
        self.holding_replies += replies > 0
        return Reply(text, "stop", Usage(prompt, completion, estimated=True))

    async def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _MadeUpModels:
    """The models of a rehearsal: chat models alone."""

    models: Mapping[str, _MadeUp]
    at_once: int = 1

    def chat(self, uri: str) -> ChatModel:
        return self.models[uri]

    def model(self, capability: str, uri: str) -> Any:
        raise InputError(f"{capability} of {uri} cannot be rehearsed", fix="Leave --dry-run out.")


def _estimate(
    model: _MadeUp,
    total: int,
    scale: float,
    price: Price | None,
    before: Spent | None,
    lengths: Mapping[tuple[str, int], Length],
    reply_tokens: int | None,
    caps: Caps,
) -> ModelEstimate:
    calls = round(model.calls * scale)
    prompt, prompt_most = round(model.prompt_tokens * scale), round(model.prompt_tokens_at_most * scale)
    most = round(scale * sum(calls * limit for limit, calls in model.limits.items()))
    like = {limit: lengths.get((model.uri, limit)) for limit in model.limits}
    known = {limit: length for limit, length in like.items() if length is not None}
    if known and len(known) == len(like):
        completion = round(scale * sum(calls * known[limit].tokens for limit, calls in model.limits.items()))
        replies = f"the mean of {number_of(sum(length.replies for length in known.values()), 'calls')} in this folder"
        replies += " with this max-tokens"
    elif before is not None:
        completion = round(calls * before.completion_tokens / before.calls)
        replies = f"the mean of {number_of(before.calls, 'calls')} in this folder"
    elif reply_tokens is not None:
        completion = round(scale * sum(n * min(reply_tokens, limit) for limit, n in model.limits.items()))
        fewer = ", or max_tokens where that is fewer" if min(model.limits, default=reply_tokens) < reply_tokens else ""
        replies = f"assumed: {reply_tokens} tokens each{fewer}"
    else:
        completion = round(model.reply_tokens * scale)
        replies = "assumed: the instruction and 15 words more, a judge's too"
    if completion > most:
        completion, replies = most, f"{replies}, but no more than max_tokens allows"
    return ModelEstimate(
        model=model.uri,
        calls=calls,
        prompt_tokens=prompt,
        completion_tokens=completion,
        prompt_tokens_at_most=prompt_most,
        completion_tokens_at_most=most,
        cost=price.of(prompt, completion) if price else None,
        cost_at_most=price.of(prompt_most, most) if price else None,
        seconds=caps.least_seconds(calls, prompt + completion) if is_server(model.uri) else None,
        # a record's calls of one model follow one another: there are no more at once than records
        call_lengths=calls / min(caps.concurrency, total) if caps.concurrency and total else None,
        prompts=model.counter.how,
        replies=replies,
        exact=model.counter.exact and scale == 1 and not model.holding_replies,
    )
