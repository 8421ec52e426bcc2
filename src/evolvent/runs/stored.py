"""Models seen through a run's call store: the same protocol, but a call that is stored is never made again."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field

import orjson

from evolvent.models.protocols import ChatModel, Reply, Sampling, TokenLogprob, Usage
from evolvent.records import Message
from evolvent.runs.randomness import call_seed
from evolvent.runs.store import Call, CallStore, call_key

# Which record the running task works for: only written beside a call, never part of its key.
current_record: ContextVar[str] = ContextVar("current_record", default="")


@dataclass(slots=True)
class Tally:
    """What a stage used of one model: calls made now, calls found in the store, tokens of both together."""

    made: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cut_max_tokens: int = 0

    def count(self, reply: Reply, *, made: bool) -> None:
        self.made += made
        self.reused += not made
        self.prompt_tokens += reply.usage.prompt_tokens
        self.completion_tokens += reply.usage.completion_tokens
        self.estimated |= reply.usage.estimated
        self.cut_max_tokens += reply.cut_max_tokens is not None


@dataclass(slots=True)
class StoredChat:
    """A ChatModel whose calls are looked up in the store first, and stored before their reply is given out.

    Args:
        model: the model itself.
        store: the run's call store.
        stage: the stage that calls; written beside the call.
    """

    model: ChatModel
    store: CallStore
    stage: str
    tally: Tally = field(default_factory=Tally)
    _running: dict[bytes, asyncio.Future[Reply]] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return self.model.uri

    @property
    def identity(self) -> str:
        return self.model.identity

    @property
    def concurrency(self) -> int:
        return self.model.concurrency

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """The stored reply of this call, or a new one that is stored first. Equal calls in flight are made once.

        Raises:
            CallError, ModelUnavailableError: from the model.
            RunError: the store cannot be written.
        """
        request = {"messages": list(messages), **_deciding(sampling)}
        key = call_key(self.identity, request)
        stored = self.store.get(key)
        if stored is not None:
            reply = reply_from_json(stored)
            self.tally.count(reply, made=False)
            return reply
        if key in self._running:
            # shield: one caller's cancellation must not take the call away from the others.
            reply = await asyncio.shield(self._running[key])
            self.tally.count(reply, made=False)
            return reply
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._running[key] = future
        try:
            reply = await self.model.chat(messages, sampling)
            text = orjson.dumps(request).decode()
            await self.store.put(
                [Call(key, self.stage, current_record.get(), self.uri, text, orjson.dumps(asdict(reply)).decode())]
            )
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # marks it as seen: often nobody else waits
            raise
        finally:
            del self._running[key]
        future.set_result(reply)
        self.tally.count(reply, made=True)
        return reply

    async def close(self) -> None:
        await self.model.close()


async def ask(
    model: ChatModel,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    run_seed: int,
    record_id: str,
    stage: str,
    usable: Callable[[Reply], bool] = lambda reply: bool(reply.text.strip()),
    attempts: int = 3,
) -> Reply:
    """Ask until the reply is usable: each attempt draws with another seed; greedy calls have one attempt.

    Args:
        model: the model to ask.
        messages: the conversation.
        sampling: how to draw; its seed is set here.
        run_seed: the run's seed.
        record_id: the record the call is for.
        stage: what the call is for, within the record.
        usable: whether the reply can be worked with; by default any text.
        attempts: how many to make at the most.

    Returns:
        The first usable reply, or the last one.

    Raises:
        CallError: from the model.
    """
    for attempt in range(attempts if sampling.temperature > 0 else 1):
        seed = call_seed(run_seed, record_id, stage, attempt=attempt)
        drawn = Sampling(
            sampling.temperature, sampling.top_p, sampling.max_tokens, seed, top_logprobs=sampling.top_logprobs
        )
        reply = await model.chat(messages, drawn)
        if usable(reply):
            break
    return reply


def reply_from_json(text: str) -> Reply:
    """The reply that was stored as ``text``."""
    row = orjson.loads(text)
    row["usage"] = Usage(**row["usage"])
    if row["logprobs"] is not None:
        row["logprobs"] = tuple(
            TokenLogprob(token["token"], token["logprob"], tuple((t, p) for t, p in token["top"]))
            for token in row["logprobs"]
        )
    return Reply(**row)


def _deciding(sampling: Sampling) -> dict[str, object]:
    """The sampling parameters that decide the reply: at temperature 0 neither seed nor top_p does."""
    chosen: dict[str, object] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
    if sampling.temperature > 0:
        chosen |= {"top_p": sampling.top_p, "seed": sampling.seed}
    if sampling.top_logprobs:
        chosen["top_logprobs"] = sampling.top_logprobs
    return chosen
