"""Models seen through a run's call store: the same protocol, but a call that is stored is never made again."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import orjson

from evolvent.calls.seeds import call_seed
from evolvent.calls.store import Call, CallStore
from evolvent.costs.budget import Budget
from evolvent.errors import CallError
from evolvent.models.protocols import ChatModel, Reply, Sampling, TokenLogprob, Usage, until_kept
from evolvent.records import Message
from evolvent.runs.tally import Used

FILTERED = "content_filter"


@dataclass(slots=True)
class RecordInWork:
    """The record that a task works for, and what it took from its models so far, by their URIs."""

    id: str = ""
    used: dict[str, Used] = field(default_factory=dict)


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


@dataclass(slots=True)
class StoredChat:
    """A ChatModel whose calls are looked up in the store first, and stored before their reply is given out.

    Args:
        model: the model itself.
        store: the run's call store.
        stage: the stage that calls; written beside the call.
        budget: asked before a call is made; None where nothing limits the spending.
    """

    model: ChatModel
    store: CallStore
    stage: str
    budget: Budget | None = None
    _running: dict[bytes, asyncio.Future[Reply]] = field(default_factory=dict)
    _identity: bytes = b""

    def __post_init__(self) -> None:
        self._identity = self.model.identity.encode()

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
            CallError: from the model; its words are stored beside the request. Also where ``lasting_failures`` says so.
            ModelUnavailableError: from the model.
            BudgetReachedError: the budget leaves nothing for this call.
            RunError: the store cannot be written.
        """
        request = orjson.dumps({"messages": messages, **_deciding(sampling)}, option=orjson.OPT_SORT_KEYS)
        key = _key(self._identity, request)
        stored = self.store.get(key)
        if stored is None:
            self._check_not_failed(key)
        if stored is not None:
            reply = reply_from_json(stored)
        elif key in self._running:
            running = self._running[key]
            # wait, not await: one caller's cancellation must not take the call away from the others.
            await asyncio.wait([running])
            if running.cancelled():
                return await self.chat(messages, sampling)  # whoever made it was cancelled: it is still to be made
            reply = running.result()
        else:
            future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            self._running[key] = future
            try:
                reply = await self._call(key, request, messages, sampling)
                future.set_result(reply)
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    future.cancel()
                else:
                    future.set_exception(error)
                    future.exception()  # marks it as seen: often nobody else waits
                raise
            finally:
                del self._running[key]
        record = record_in_work.get(None)
        if record is not None:
            record.used.setdefault(self.uri, Used()).count(reply)
        return reply

    async def close(self) -> None:
        await self.model.close()

    def _check_not_failed(self, key: bytes) -> None:
        """Raise what a call failed with before, if it is not to be made again."""
        failures = lasting_failures.get()
        if failures is None:
            return
        if failures.decided and key not in failures.words:
            words = self.store.get_error(key)
            if words is not None:
                failures.words[key] = words
        if key in failures.words:
            raise error_from_json(failures.words[key])

    async def _call(self, key: bytes, request: bytes, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Make a call and store what came of it."""
        record = record_in_work.get(None)
        about = (key, self.stage, record.id if record else "", self.uri, request.decode())
        usage: Usage | None = None
        if self.budget is not None:
            await self.budget.begin(self.uri)
        began = time.monotonic()
        places: list[Callable[[], None]] = []
        token = until_kept.set(places)
        try:
            try:
                reply = await self.model.chat(messages, sampling)
                usage = reply.usage
            except CallError as error:
                words = error_to_json(error)
                await self.store.put([Call(*about, None, words, seconds=time.monotonic() - began)])
                failures = lasting_failures.get()
                if failures is not None:
                    failures.words[key] = words
                raise
            finally:
                if self.budget is not None:
                    self.budget.end(self.uri, usage)
            await self.store.put([Call(*about, reply_to_json(reply), None, usage, time.monotonic() - began)])
        finally:
            until_kept.reset(token)
            for give_back in places:
                give_back()
        return reply


async def ask(
    model: ChatModel,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    run_seed: int,
    record_id: str,
    stage: str,
    usable: Callable[[Reply], bool] = lambda reply: bool(reply.text.strip()) and reply.finish_reason != FILTERED,
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
        usable: whether the reply can be worked with; by default any text that no filter of the server has cut.
        attempts: how many to make at the most.

    Returns:
        The first usable reply, or the last one.

    Raises:
        CallError: from the model.
    """
    attempts = attempts if sampling.temperature > 0 else 1
    for attempt in range(attempts):
        seed = call_seed(run_seed, record_id, stage, attempt=attempt)
        drawn = Sampling(
            sampling.temperature, sampling.top_p, sampling.max_tokens, seed, top_logprobs=sampling.top_logprobs
        )
        reply = await model.chat(messages, drawn)
        if usable(reply) or attempt == attempts - 1:
            break
        record = record_in_work.get(None)
        if record is not None:
            record.used.setdefault(model.uri, Used()).unusable += 1
    return reply


def reply_to_json(reply: Reply) -> str:
    """A reply as it is stored."""
    return orjson.dumps(reply).decode()


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


def error_to_json(error: CallError) -> str:
    """Why a call failed as it is stored."""
    return orjson.dumps({"error": error.message, "fix": error.fix, "raw": error.raw}).decode()


def error_from_json(text: str) -> CallError:
    """The failure that was stored as ``text``; older stores hold no fix."""
    words = orjson.loads(text)
    return CallError(words["error"], fix=words.get("fix", ""), raw=words["raw"])


def _key(identity: bytes, request: bytes) -> bytes:
    """The key of a call: a 16-byte hash of the model and of the request, and of nothing else."""
    return hashlib.sha256(b"%d\n%b%b" % (len(identity), identity, request)).digest()[:16]


def _deciding(sampling: Sampling) -> dict[str, object]:
    """The sampling parameters that decide the reply: at temperature 0 neither seed nor top_p does."""
    # As floats: 0 and 0.0 are one temperature, and two JSON texts.
    chosen: dict[str, object] = {"temperature": float(sampling.temperature), "max_tokens": sampling.max_tokens}
    if sampling.temperature > 0:
        chosen |= {"top_p": float(sampling.top_p), "seed": sampling.seed}
    if sampling.top_logprobs:
        chosen["top_logprobs"] = sampling.top_logprobs
    return chosen
