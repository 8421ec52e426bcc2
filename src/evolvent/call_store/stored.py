"""Models seen through a run's call store: the same protocol, but a call that is stored is never made again."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from evolvent.call_store.key import chat_key
from evolvent.call_store.replies import error_from_json, error_to_json, reply_from_json, reply_to_json
from evolvent.call_store.served import Name, Served
from evolvent.call_store.store import Call, CallStore
from evolvent.call_store.used import Used, lasting_failures, record_in_work
from evolvent.costs.budget import Budget
from evolvent.errors import CallError
from evolvent.models.models import Calls, Need, is_server
from evolvent.models.protocols import (
    ChatModel,
    Reply,
    Sampling,
    Usage,
    until_kept,
)
from evolvent.records import Message

Result = TypeVar("Result")


@dataclass(slots=True)
class StoredChat:
    """A ChatModel whose calls are looked up in the store first, and stored before their reply is given out.

    Args:
        model: the model itself.
        store: the run's call store.
        stage: the stage that calls; written beside the call.
        budget: asked before a call is made; None where nothing limits the spending.
        served: notices what a server says that its replies are made with.
        retry_empty: whether replies without text that the store holds are asked for again.
        called: told what each new reply took, once that is stored.
    """

    model: ChatModel
    store: CallStore
    stage: str
    budget: Budget | None = None
    served: Served | None = None
    retry_empty: bool = False
    called: Callable[[Usage], object] | None = None
    _running: dict[bytes, asyncio.Future[Reply]] = field(default_factory=dict)
    _retried: set[bytes] = field(default_factory=set)
    _forgotten: set[bytes] = field(default_factory=set)  # those of them that are yet to be made
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
        key, request = chat_key(self._identity, messages, sampling)
        stored = None if key in self._forgotten else self._stored_as(key)
        if stored is None:
            self._check_not_failed(key)
            if key not in self._forgotten:
                stored = self._of_another_limit(messages, sampling)
        if stored is not None:
            reply = stored
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
        if self.served is not None:
            self.served.see(reply.served_by, reply.server)
        record = record_in_work.get(None)
        if record is not None:
            record.used.setdefault(self.uri, Used()).count(reply)
        return reply

    def stored(self, messages: Sequence[Message], sampling: Sampling) -> Reply | None:
        """The stored reply of a call, if there is one; also one that another limit would have been given, too."""
        stored = self._stored_as(chat_key(self._identity, messages, sampling)[0])
        return self._of_another_limit(messages, sampling) if stored is None else stored

    def forget(self, messages: Sequence[Message], sampling: Sampling) -> None:
        """Let a call be made again whose reply is stored; once, where several ask for it."""
        key = chat_key(self._identity, messages, sampling)[0]
        if key not in self._retried:
            self._retried.add(key)
            self._forgotten.add(key)

    async def close(self) -> None:
        await self.model.close()

    def _stored_as(self, key: bytes) -> Reply | None:
        return _read(self.store, key, self.store.get(key), reply_from_json)

    def _of_another_limit(self, messages: Sequence[Message], sampling: Sampling) -> Reply | None:
        """The stored reply to the same request with another ``max_tokens``, if it would be the same with this one."""
        for limit in self.store.limits:
            if limit != sampling.max_tokens:
                other = chat_key(self._identity, messages, replace(sampling, max_tokens=limit))[0]
                reply = self._stored_as(other)
                if reply is not None and holds_under(reply, limit, sampling.max_tokens):
                    return reply
        return None

    def _check_not_failed(self, key: bytes) -> None:
        """Raise what a call failed with before, if it is not to be made again."""
        failures = lasting_failures.get()
        if failures is None:
            return
        if key in failures.words:
            raise error_from_json(failures.words[key])
        if failures.decided:
            error = _read(self.store, key, self.store.get_error(key), error_from_json)
            if error is not None:
                failures.words[key] = error_to_json(error)
                raise error

    async def _call(self, key: bytes, request: bytes, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Make a call and store what came of it."""
        record = record_in_work.get(None)
        about = partial(Call, key, self.stage, record.id if record else "", self.uri, request.decode())
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
                failed = about(None, words, seconds=time.monotonic() - began, max_tokens=sampling.max_tokens)
                await self.store.put([failed])
                self._forgotten.discard(key)
                failures = lasting_failures.get()
                if failures is not None:
                    failures.words[key] = words
                raise
            finally:
                if self.budget is not None:
                    self.budget.end(self.uri, usage)
            took = time.monotonic() - began
            await self.store.put([about(reply_to_json(reply), None, usage, took, max_tokens=sampling.max_tokens)])
            self._forgotten.discard(key)
            if self.called is not None:
                self.called(usage)
        finally:
            until_kept.reset(token)
            for give_back in places:
                give_back()
        return reply


# Why generation ended, where it was not at a limit: text that had come to its end, or that went round in circles.
ENDED = ("stop", "loop")


def holds_under(reply: Reply, limit: int, other: int) -> bool:
    """Whether a reply that was made with one ``max_tokens`` would be the same with another.

    It is if it ended by itself and, where the other limit is lower, its tokens were counted and are within that.
    """
    usage, bound = reply.usage, reply.cut_max_tokens
    within = not usage.estimated and usage.completion_tokens <= other and (bound is None or bound <= other)
    return reply.finish_reason in ENDED and (other > limit or within)


def _read(store: CallStore, key: bytes, text: str | None, from_json: Callable[[str], Result]) -> Result | None:
    """What the store holds of a call; None if there is nothing, or if it is damaged, which is said."""
    if text is None:
        return None
    try:
        return from_json(text)
    except (ValueError, TypeError, LookupError, AttributeError):
        store.warn_of_damage(key)
        return None


@dataclass(slots=True)
class StoredLocal:
    """A model that computes numbers in this process, and whose results are kept: a window's all together.

    Args:
        model: a ``TokenScorer``, ``RewardModel`` or ``Embedder``.
        store: the run's call store.
        stage: the stage that asks; written beside the result.
    """

    model: Any
    store: CallStore
    stage: str

    @property
    def uri(self) -> str:
        return str(self.model.uri)

    def kept(self, key: bytes, from_json: Callable[[str], Result]) -> Result | None:
        """The result that the store holds under a key, if it does."""
        return _read(self.store, key, self.store.get(key), from_json)

    async def window(
        self,
        keys: Sequence[bytes],
        records: Sequence[str],
        request: str,
        compute: Callable[[threading.Event], Sequence[Result]],
        to_json: Callable[[Result], str | None],
        from_json: Callable[[str], Result],
    ) -> list[Result]:
        """The results of a window: from the store if all of them are there, else computed and stored together.

        A result that is stored stays as it is, and equal ones are one: their last digits depend on the batch.

        Args:
            keys: a key for each.
            records: the id of each one's record.
            request: what was asked, as JSON text.
            compute: computes all results of the window, in a thread. It has to raise soon after the event that it is
                given is set: the work was cancelled.
            to_json, from_json: a result as it is stored; None for one that is not to be stored. What is made of a
                damaged text raises ValueError, TypeError or LookupError: that result is computed again.

        Raises:
            RunError: the store cannot be written.
        """
        stored = [self.kept(key, from_json) for key in keys]
        there = [result for result in stored if result is not None]
        if len(there) == len(keys):
            return there
        cancelled = threading.Event()
        try:
            computed = await asyncio.to_thread(compute, cancelled)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        results: dict[bytes, Result] = {}
        for key, old, new in zip(keys, stored, computed, strict=True):
            results.setdefault(key, new if old is None else old)
        await self.store.put(
            Call(key, self.stage, record, self.uri, request, text)
            for key, record in zip(keys, records, strict=True)
            if (text := to_json(results[key])) is not None
        )
        return [results[key] for key in keys]


# What models of this process compute and the store keeps.
COMPUTED = ("losses", "reward", "embed")


class StoredModels:
    """The models that a stage's work gets, each behind the run's call store.

    Args:
        opened: the models, by what they were opened for.
        store: the run's call store.
        stage: the stage's name.
        budget: asked before a chat call is made; None where nothing limits the spending.
        names: by URI, what servers said in this stage before that they answer with; new names are added.
        noted: called when one was.
        retry_empty: whether replies without text that the store holds are asked for again.
        called: told what each new reply of a chat model took.
    """

    def __init__(
        self,
        opened: Mapping[Need, Any],
        store: CallStore,
        stage: str,
        budget: Budget | None = None,
        names: dict[str, list[Name]] | None = None,
        noted: Callable[[], None] = lambda: None,
        *,
        retry_empty: bool = False,
        called: Callable[[Usage], object] | None = None,
    ) -> None:
        names = {} if names is None else names
        self._opened: dict[tuple[str, str], Any] = {
            (need.capability, need.name): model for need, model in opened.items()
        }
        self._chat = {
            name: StoredChat(model, store, stage, budget, Served(name, names, noted), retry_empty, called)
            for (capability, name), model in self._opened.items()
            if capability == "chat"
        }
        self._local = {
            key: StoredLocal(model, store, stage) for key, model in self._opened.items() if key[0] in COMPUTED
        }
        self.at_once = at_once(opened)

    def chat(self, uri: str) -> StoredChat:
        """The chat model of this URI, as records hold it; the stage has to name it among its needs."""
        return self._chat[uri]

    def model(self, capability: str, uri: str) -> Any:
        """A model of another kind: a ``StoredLocal`` if what it computes is kept; others as they are."""
        return (self._local if capability in COMPUTED else self._opened)[capability, uri]


def at_once(opened: Mapping[Need, Any]) -> int:
    """How many records to have in work: more than calls in flight, where a record may wait out a server's limit.

    Args:
        opened: the models by what they were opened for; 1 if none of them chats.
    """
    levels = [1]
    for need, model in opened.items():
        if need.capability == "chat":
            chosen = need.how.concurrency if isinstance(need.how, Calls) else None
            levels.append(model.concurrency if chosen is None or is_server(need.uri) else chosen)
    return max(levels)
