"""HFChat: a model in this process that answers conversations; concurrent calls are answered together.

One thread runs the model, so the event loop stays responsive. A call puts its request on the thread's queue and
awaits a future. Before each step of the model the thread takes in what waits and what fits, and drops what nobody
waits for any more; after it, it sets the futures of what has ended. A model that cannot be filled continuously runs
one batch after the other.
"""

import asyncio
import atexit
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self, Unpack

from evolvent.errors import CallError, RunError
from evolvent.models.hf.batching import Limits, Request, newcomers, original_context, whole_batch
from evolvent.models.hf.endings import finish_reason
from evolvent.models.hf.generation import ContinuousBatch, generate, generation_config, takes_slots
from evolvent.models.hf.loading import Loading, Weights, load_weights
from evolvent.models.hf.sampling import TokenTrace
from evolvent.models.hf.tokens import (
    conversation_tokens,
    end_tokens,
    reply,
    require_template,
    split_reply,
    text_of,
)
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message

# On a CPU more rows no longer raise the throughput (benchmarks/generation.py), on a GPU memory is the bound.
LIMITS = {
    "cpu": Limits(rows=64, tokens=2**16, prefill=2**11, call=2**12),
    "cuda": Limits(rows=256, tokens=2**18, prefill=2**15, call=2**20),
}

# How long the idle model waits for company after a first request: calls that start together arrive within this.
GATHER_SECONDS = 0.01

# How long the end of the process waits for the step under way: Ctrl-C is to end it within 2 seconds.
LAST_STEP_SECONDS = 1.5


Calls = queue.SimpleQueue[Request | None]


@dataclass(slots=True)
class Worker:
    """A thread that runs the model.

    Each has a queue of its own: one that was told to end, and still is at a step, takes no call meant for the next.

    Attributes:
        queue: the calls it is given; None: no more.
        open: those that have no answer yet, wherever they are.
        stop: it is to end at once.
        ended: it takes no more calls.
        thread: the thread.
    """

    queue: Calls = field(default_factory=queue.SimpleQueue)
    open: set[Request] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class HFChat:
    """A chat model run by transformers (a ``ChatModel``). Made by ``HFChat.load``.

    On a CPU in float32 a request's text depends on the request alone, not on what else is in its batch.

    Attributes:
        uri: the model's URI.
        identity: hash of config, tokenizer, template and weights, and the dtype, as canonical JSON text.
        concurrency: twice the rows: half of the calls run, the others wait to take their places.
    """

    def __init__(self, weights: Weights, uri: str, limits: Limits) -> None:
        self.uri = uri
        self.identity = weights.identity
        self.concurrency = 2 * limits.rows
        self._weights = weights
        self._limits = replace(limits, original=original_context(weights.model))
        self._ends = end_tokens(weights, uri)
        self._ending = partial(
            finish_reason,
            frozenset(self._ends),
            partial(text_of, weights),
            lambda request, tokens: split_reply(weights, request, tokens)[0],
        )
        # generate() fills what a call leaves open from the model's own config: a repetition penalty, a temperature.
        # Sampling is set by the caller alone, so the model keeps none; its end tokens the next user wants to know.
        weights.model.generation_config = generation_config(eos_token_id=self._ends or None)
        with weights.lock:
            self._continuous = takes_slots(weights.model, weights.context)
        self._worker: Worker | None = None

    @classmethod
    def load(
        cls,
        name: str,
        *,
        uri: str,
        batch_rows: int | None = None,
        batch_tokens: int | None = None,
        **how: Unpack[Loading],
    ) -> Self:
        """Load a chat model.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's URI, for records and messages.
            batch_rows: most requests under way; None for 64 on a CPU, 256 on a GPU.
            batch_tokens: most padded tokens under way; None for 2**16 on a CPU, 2**18 on a GPU.
            how: see ``Loading``.

        Raises:
            InputError: a bad option, or the model has no chat template, or a broken one.
            ModelUnavailableError: the model cannot be loaded.
        """
        weights = load_weights(name, uri=uri, **how)
        require_template(weights, uri)
        limits = LIMITS[weights.model.device.type]
        limits = replace(limits, rows=batch_rows or limits.rows, tokens=batch_tokens or limits.tokens)
        return cls(weights, uri, limits)

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation; the token that ends a reply counts as one of its completion tokens.

        Args:
            messages: the conversation.
            sampling: its own settings; a seed of None means one derived from the prompt.

        Returns:
            The reply; ``cut_max_tokens`` holds the bound used where the context leaves less than ``max_tokens``.

        Raises:
            CallError: the prompt fills the context, the template refuses the messages, or the model failed on them.
            RunError: the thread that runs the model ended with an error; the next call begins another.
        """
        prompt = conversation_tokens(self._weights, self.uri, messages, generation_prompt=True)
        room = self._weights.context - len(prompt)
        if room < 1:
            raise CallError(
                f"model {self.uri}: the prompt has {len(prompt)} tokens, which leaves no room for a reply "
                f"in the context of {self._weights.context}"
            )
        request = Request(prompt, sampling, min(sampling.max_tokens, room))
        worker = self._working()
        worker.open.add(request)
        request.future.add_done_callback(lambda _: worker.open.discard(request))
        worker.queue.put(request)
        if worker.ended.is_set():  # it may have looked for open calls before this one was there
            raise self._broken()
        return await asyncio.wrap_future(request.future)

    def _working(self) -> Worker:
        """The worker, begun where there is none or it has ended."""
        if self._worker is not None and self._worker.ended.is_set():
            self._end_thread()
        if self._worker is None:
            self._worker = Worker()
            # a daemon: a process that is told to end does not wait for a forward pass of a large model
            thread = threading.Thread(target=self._work, args=[self._worker], name=f"evolvent {self.uri}", daemon=True)
            self._worker.thread = thread
            thread.start()
            atexit.register(self._end_thread)
        return self._worker

    async def close(self) -> None:
        """End the thread; calls that still wait are cancelled, a batch under way ends at its next step."""
        await asyncio.to_thread(self._end_thread)

    def _end_thread(self) -> None:
        """Tell the thread to end and wait a moment for it: torch aborts when Python goes away beneath it."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.thread is not None:
            atexit.unregister(self._end_thread)
            worker.stop.set()
            worker.queue.put(None)
            worker.thread.join(LAST_STEP_SECONDS)

    def _work(self, worker: Worker) -> None:
        """The thread: whatever ends it, no call waits for ever."""
        try:
            self._answer_calls(worker)
        except Exception as error:  # no single call's fault: those are met where they happen
            worker.ended.set()
            for request in list(worker.open):
                with suppress(InvalidStateError):  # cancelled meanwhile
                    request.future.set_exception(self._broken(error))
        else:
            for request in list(worker.open):
                request.future.cancel()

    def _answer_calls(self, worker: Worker) -> None:
        """Take what is on the queue, go a step on, begin again, until the queue holds None."""
        waiting: list[Request] = []
        batch = ContinuousBatch(self._weights.model, self._ending, self._limits.call)
        while self._gather(worker.queue, waiting, busy=bool(batch.rows)):
            waiting[:] = [request for request in waiting if not request.future.cancelled()]
            batch.remove([row for row in batch.rows if row.request.future.cancelled()])
            if self._continuous:
                self._advance(batch, waiting, worker.stop)
            elif waiting:
                self._answer(_taken(whole_batch(waiting, self._limits), waiting), worker.stop)

    def _gather(self, calls: Calls, waiting: list[Request], *, busy: bool) -> bool:
        """Add what is on the queue to ``waiting``. If there is nothing to do, wait for a first request and for company.

        Returns:
            False when the model closes.
        """
        deadline = time.monotonic() + (0 if busy else GATHER_SECONDS) if busy or waiting else None
        while True:
            try:
                if deadline is None:
                    request = calls.get()
                    deadline = time.monotonic() + GATHER_SECONDS
                elif len(waiting) >= self._limits.rows or time.monotonic() >= deadline:
                    request = calls.get_nowait()
                else:
                    request = calls.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return True
            if request is None:
                return False
            waiting.append(request)

    def _advance(self, batch: ContinuousBatch, waiting: list[Request], stop: threading.Event) -> None:
        """Take newcomers in, or give every row one token.

        Where something fails, whoever took part is answered in whole batches, in which the culprit is found.
        """
        joining = _taken(newcomers(waiting, len(batch.rows), batch.padded, self._limits), waiting)
        again: list[Request] = []
        try:
            if joining:
                with self._weights.lock:
                    batch.admit(joining)
                return
            while len(batch.rows) > 1 and batch.padded() > self._limits.tokens:
                # memory is short: who has come least far begins again later, with the same text
                youngest = min(batch.rows, key=lambda row: len(row.tokens))
                batch.remove([youngest])
                waiting.insert(0, youngest.request)
            with self._weights.lock:
                ended = batch.step() if batch.rows else []
        except Exception:  # _answer meets it again and tells it
            ended, again = [], [*joining, *(row.request for row in batch.rows)]
            batch.remove(batch.rows)
        while again:  # not among the lines above: there the error still holds the memory of the step
            self._answer(_taken(whole_batch(again, self._limits), again), stop)
        for row in ended:
            self._deliver(row.request, row.tokens, row.draw.traces, str(row.finish_reason))

    def _answer(self, batch: list[Request], stop: threading.Event) -> None:
        """Run a batch to its end and set its futures. One that fails is halved, so that a request fails alone."""
        try:
            with self._weights.lock:
                generated = generate(self._weights.model, batch, self._ends, self._ending, stop)
        except Exception as error:  # whatever it is, its caller is to know, and the thread must live on
            if len(batch) == 1:
                self._fail(batch[0], error)
                return
            generated = None
        if generated is None:  # the error is gone by now, and with it the memory that it held
            self._answer(batch[: len(batch) // 2], stop)
            self._answer(batch[len(batch) // 2 :], stop)
            return
        for request, (tokens, traces, reason) in zip(batch, generated, strict=True):
            if stop.is_set():  # the replies may be cut short
                request.future.cancel()
            else:
                self._deliver(request, tokens, traces, reason)

    def _deliver(self, request: Request, tokens: list[int], traces: list[TokenTrace], reason: str) -> None:
        try:
            answer = reply(self._weights, request, tokens, traces, reason)
        except Exception as error:  # a tokenizer that cannot write a token its model made
            self._fail(request, error)
            return
        if request.future.set_running_or_notify_cancel():
            request.future.set_result(answer)

    def _fail(self, request: Request, error: Exception) -> None:
        if request.future.set_running_or_notify_cancel():
            failure = CallError(f"model {self.uri} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            request.future.set_exception(failure)

    def _broken(self, error: Exception | None = None) -> RunError:
        failure = RunError(
            f"model {self.uri}: its thread ended" + (f": {type(error).__name__}: {error}" if error else ""),
            fix="What is answered is stored: start the same command again. If it ends so once more, please report it.",
        )
        failure.__cause__ = error
        return failure


def _taken(batch: list[Request], waiting: list[Request]) -> list[Request]:
    """The batch, taken out of those that wait."""
    taken = set(map(id, batch))
    waiting[:] = [request for request in waiting if id(request) not in taken]
    return batch
