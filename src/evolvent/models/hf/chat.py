"""HFChat: a model in this process that answers conversations; concurrent calls meet in padded batches.

One thread runs the model, so the event loop stays responsive. A call puts its request on the thread's queue and
awaits a future. The thread takes what waits, runs one batch, sets the futures, and begins again. Cancelling a call
cancels its future; a batch in which nobody waits any more ends at its next step.
"""

import asyncio
import atexit
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, Unpack

import torch
from transformers import GenerationConfig, StoppingCriteriaList

from evolvent.errors import CallError, ModelUnavailableError
from evolvent.models.hf.batching import Request, next_batch
from evolvent.models.hf.conversation import conversation_tokens, require_template
from evolvent.models.hf.loading import Loading, Weights, load_weights
from evolvent.models.hf.sampling import RowLimits, RowSampler
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.records import Message

# Rows and padded tokens of one batch: on a CPU more rows no longer raise the throughput, on a GPU memory is the bound.
ROWS = {"cpu": 64, "cuda": 256}
TOKENS = {"cpu": 2**16, "cuda": 2**18}

# How long the idle model waits for company after a first request: calls that start together arrive within this.
GATHER_SECONDS = 0.01

# How long the end of the process waits for the step under way: Ctrl-C is to end it within 2 seconds.
LAST_STEP_SECONDS = 1.5


Calls = queue.SimpleQueue[Request | None]


@dataclass(slots=True)
class Worker:
    """A thread that runs the model, the calls it is given (None: no more), and whether it is to stop at once.

    Each has a queue of its own: one that was told to end, and still is at a step, takes no call meant for the next.
    """

    queue: Calls = field(default_factory=queue.SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class HFChat:
    """A chat model run by transformers (a ``ChatModel``). Made by ``HFChat.load``.

    On a CPU in float32 a request's text depends on the request alone, not on what else is in its batch.

    Attributes:
        uri: the model's URI.
        identity: hash of config, tokenizer, template and weights, and the dtype, as canonical JSON text.
        concurrency: two batches' worth of calls: one runs while the next gathers.
    """

    def __init__(self, weights: Weights, uri: str, rows: int) -> None:
        self.uri = uri
        self.identity = weights.identity
        self.concurrency = 2 * rows
        self._weights = weights
        self._rows = rows
        self._tokens = TOKENS[weights.model.device.type]
        self._ends = end_tokens(weights, uri)
        # generate() fills what a call leaves open from the model's own config: a repetition penalty, a temperature.
        # Sampling is set by the caller alone, so the model keeps none.
        weights.model.generation_config = _generation_config()
        self._worker: Worker | None = None

    @classmethod
    def load(cls, name: str, *, uri: str, batch_rows: int | None = None, **how: Unpack[Loading]) -> Self:
        """Load a chat model.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's URI, for records and messages.
            batch_rows: most requests in one batch; None for 64 on a CPU, 256 on a GPU.
            how: see ``Loading``.

        Raises:
            InputError: a bad option, or the model has no chat template, or a broken one.
            ModelUnavailableError: the model cannot be loaded.
        """
        weights = load_weights(name, uri=uri, **how)
        require_template(weights, uri)
        return cls(weights, uri, batch_rows or ROWS[weights.model.device.type])

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation; the token that ends a reply counts as one of its completion tokens.

        Args:
            messages: the conversation.
            sampling: its own settings; a seed of None means one derived from the prompt.

        Returns:
            The reply; ``cut_max_tokens`` holds the bound used where the context leaves less than ``max_tokens``.

        Raises:
            CallError: the prompt fills the context, the template refuses the messages, or the model failed on them.
        """
        prompt = conversation_tokens(self._weights, self.uri, messages, generation_prompt=True)
        room = self._weights.context - len(prompt)
        if room < 1:
            raise CallError(
                f"model {self.uri}: the prompt has {len(prompt)} tokens, which leaves no room for a reply "
                f"in the context of {self._weights.context}"
            )
        request = Request(prompt, sampling, min(sampling.max_tokens, room))
        if self._worker is None:
            self._worker = Worker()
            # a daemon: a process that is told to end does not wait for a forward pass of a large model
            thread = threading.Thread(target=self._work, args=[self._worker], name=f"evolvent {self.uri}", daemon=True)
            self._worker.thread = thread
            thread.start()
            atexit.register(self._end_thread)
        self._worker.queue.put(request)
        return await asyncio.wrap_future(request.future)

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
        """The thread: gather, run a batch, begin again, until the queue holds None."""
        waiting: list[Request] = []
        while True:
            open_ = self._gather(worker.queue, waiting)
            waiting = [request for request in waiting if not request.future.cancelled()]
            if not open_:
                for request in waiting:
                    request.future.cancel()
                return
            if waiting:
                batch = next_batch(waiting, rows=self._rows, tokens=self._tokens)
                taken = set(map(id, batch))
                waiting = [request for request in waiting if id(request) not in taken]
                self._answer(batch, worker.stop)

    def _gather(self, calls: Calls, waiting: list[Request]) -> bool:
        """Add what is on the queue to ``waiting``: wait for a first request, and shortly for company.

        Returns:
            False when the model closes.
        """
        deadline = None if not waiting else time.monotonic() + GATHER_SECONDS
        while True:
            try:
                if deadline is None:
                    request = calls.get()
                    deadline = time.monotonic() + GATHER_SECONDS
                elif len(waiting) >= self._rows:
                    request = calls.get_nowait()
                else:
                    request = calls.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return True
            if request is None:
                return False
            waiting.append(request)

    def _answer(self, batch: list[Request], stop: threading.Event) -> None:
        """Run a batch and set its futures. One that fails is halved, so that a request fails alone."""
        try:
            replies = self._generate(batch, stop)
        except Exception as error:  # whatever it is, its caller is to know, and the thread must live on
            if len(batch) > 1:
                self._answer(batch[: len(batch) // 2], stop)
                self._answer(batch[len(batch) // 2 :], stop)
            elif batch[0].future.set_running_or_notify_cancel():
                failure = CallError(f"model {self.uri} failed: {type(error).__name__}: {error}")
                failure.__cause__ = error
                batch[0].future.set_exception(failure)
            return
        if stop.is_set():  # the replies may be cut short
            for request in batch:
                request.future.cancel()
            return
        for request, reply in zip(batch, replies, strict=True):
            if request.future.set_running_or_notify_cancel():
                request.future.set_result(reply)

    def _generate(self, batch: Sequence[Request], stop: threading.Event) -> list[Reply]:
        """One generation for a batch: left-padded prompts, an attention mask, and each row's own sampling."""
        model: Any = self._weights.model
        width = max(len(request.prompt) for request in batch)
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(batch):
            ids[row, width - len(request.prompt) :] = torch.tensor(request.prompt)
            mask[row, width - len(request.prompt) :] = 1
        sampler = RowSampler(batch, model.device)
        with torch.inference_mode():
            grown = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=_generation_config(
                    do_sample=False,
                    max_new_tokens=max(request.max_tokens for request in batch),
                    eos_token_id=self._ends or None,
                    pad_token_id=self._pad,
                ),
                logits_processor=[sampler],
                stopping_criteria=StoppingCriteriaList([RowLimits(batch, width, model.device, stop)]),
            )
        rows = grown[:, width:].tolist()
        return [
            self._reply(request, row, sampler, number)
            for number, (request, row) in enumerate(zip(batch, rows, strict=True))
        ]

    def _reply(self, request: Request, row: list[int], sampler: RowSampler, number: int) -> Reply:
        end = next((place for place, token in enumerate(row) if token in self._ends), len(row))
        stopped = end < request.max_tokens
        tokens = row[: end + 1] if stopped else row[: request.max_tokens]
        # tokenizers of old may ask to take out spaces before punctuation, which is not what the model said
        decode = partial(self._weights.tokenizer.decode, clean_up_tokenization_spaces=False)
        logprobs = tuple(
            TokenLogprob(
                decode([trace.token]), trace.logprob, tuple((decode([token]), value) for token, value in trace.top)
            )
            for trace in sampler.traces[number][: len(tokens)]
        )
        return Reply(
            text=decode(tokens, skip_special_tokens=True),
            finish_reason="stop" if stopped else "length",
            usage=Usage(len(request.prompt), len(tokens)),
            logprobs=logprobs if request.sampling.top_logprobs else None,
            cut_max_tokens=request.max_tokens if request.max_tokens < request.sampling.max_tokens else None,
        )

    @property
    def _pad(self) -> int:
        """Any token will do: padding is masked, and what stands after an end is cut off."""
        return self._ends[0] if self._ends else 0


def _generation_config(**settings: Any) -> Any:
    return GenerationConfig(**settings)  # type: ignore[no-untyped-call]


def end_tokens(weights: Weights, uri: str) -> list[int]:
    """Tokens that end a reply: those of the model's generation config and the tokenizer's own.

    Raises:
        ModelUnavailableError: the config names one that is no number.
    """
    named = weights.model.generation_config.eos_token_id
    if named is None:
        named = weights.model.config.get_text_config().eos_token_id
    ends = list(named) if isinstance(named, list | tuple) else [named]
    try:
        return sorted({int(end) for end in [*ends, weights.tokenizer.eos_token_id] if end is not None})
    except (TypeError, ValueError) as error:
        raise ModelUnavailableError(
            f"model {uri}: its config gives {named!r} as the token that ends a reply",
            fix="eos_token_id in generation_config.json or config.json is a number, or a list of numbers.",
        ) from error
