"""GGUFChat: llama.cpp in this process, as a ``ChatModel``, by the wheel xllamacpp.

llama.cpp applies the chat template, batches the calls in its slots and draws the tokens. A thread for each call takes
the pieces of its reply.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import orjson

from evolvent.errors import CallError
from evolvent.models.chat_template import read_template
from evolvent.models.gguf.engine import Engine, open_engine
from evolvent.models.gguf.files import find_gguf
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.models.reasoning import split_generated
from evolvent.models.repetition import LOOK_EVERY, has_looped
from evolvent.models.stop_texts import before_stop
from evolvent.records import Message

# What decides the distribution that is drawn from, beside the caller's temperature and top_p: llama.cpp's own defaults
# (top_k 40, min_p 0.05) and those that a file may carry count for nothing.
DRAWN = {
    "samplers": ["temperature", "top_p"],  # in this order, as everywhere else
    "top_k": 0,
    "min_p": 0,
    "typical_p": 1,
    "repeat_penalty": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "dry_multiplier": 0,
    "xtc_probability": 0,
    "dynatemp_range": 0,
    "mirostat": 0,
    "cache_prompt": False,
}


class GGUFChat:
    """A chat model run by llama.cpp (a ``ChatModel``). Made by ``GGUFChat.load``.

    With one slot a request's text depends on the request alone. With more, llama.cpp's sums are rounded otherwise for
    one row than for several in some kinds of quantisation, so that a text may depend on what is answered beside it.

    Attributes:
        uri: the model's URI.
        identity: SHA-256 of the file, context and template, as canonical JSON text.
        concurrency: the slots.
    """

    def __init__(self, engine: Engine, uri: str, template: str | None) -> None:
        self.uri = uri
        self.identity = _identity(engine, template)
        self.concurrency = engine.slots
        self._engine: Engine | None = engine

    @classmethod
    def load(
        cls,
        name: str,
        *,
        uri: str,
        chat_template: str | None = None,
        context: int | None = None,
        slots: int | None = None,
    ) -> Self:
        """Load a chat model.

        Args:
            name: a file, a folder that holds one, or ``OWNER/NAME/FILE.gguf`` on the Hub.
            uri: the model's URI, for records and messages.
            chat_template: a file with a Jinja chat template, instead of the model's own.
            context: tokens of one conversation; None for the model's own, up to 4,096.
            slots: conversations at once; None for 8.

        Raises:
            InputError: an unreadable template file, or a model without a chat template.
            ModelUnavailableError: no such file, or none that llama.cpp can load.
        """
        template = read_template(chat_template, uri) if chat_template else None
        engine = open_engine(find_gguf(name, uri), uri, context=context, slots=slots, template=template)
        return cls(engine, uri, template)

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation.

        Args:
            messages: the conversation.
            sampling: its own settings; a seed of None means one derived from the conversation.

        Returns:
            The reply; ``cut_max_tokens`` holds the bound used where the context leaves less than ``max_tokens``.

        Raises:
            CallError: the prompt fills the context, the template refuses the messages, or the model failed on them.
        """
        engine = self._engine
        assert engine is not None
        stop = threading.Event()
        request = _request(messages, sampling)

        def ended(text: str) -> bool:  # what is thought before the answer ends at no stop text
            return before_stop(split_generated(text, engine.opening, cut=True)[0], sampling.stop) is not None

        call = engine.threads.submit(_generate, engine.server, request, stop, ended if sampling.stop else None)
        try:
            text, reason, usage, logprobs = await asyncio.wrap_future(call)
        except asyncio.CancelledError:
            stop.set()
            raise
        except _Refused as error:
            raise CallError(f"model {self.uri} {error}") from error
        room = engine.context - usage.prompt_tokens
        answer, reasoning = split_generated(text, engine.opening, cut=reason != "stop")
        before = before_stop(answer, sampling.stop)
        return Reply(
            text=answer if before is None else before,
            finish_reason=reason,
            usage=usage,
            reasoning=reasoning,
            logprobs=logprobs if sampling.top_logprobs else None,
            cut_max_tokens=room if room < sampling.max_tokens else None,
        )

    async def close(self) -> None:
        """Give back the memory, where nobody else holds the model."""
        self._engine = None


class _Refused(Exception):
    """llama.cpp's words on a request that it does not answer."""


def _request(messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
    conversation = [dict(message) for message in messages]
    seed = sampling.seed
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(orjson.dumps(conversation)).digest()[:4]) >> 1
    request = DRAWN | {
        "messages": conversation,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": seed,
    }
    if sampling.top_logprobs:  # not in pieces: llama.cpp leaves some tokens out of those
        return request | {"stop": list(sampling.stop), "logprobs": True, "top_logprobs": sampling.top_logprobs}
    return request | {"stream": True, "return_progress": True, "timings_per_token": True}


def _generate(
    server: Any, request: dict[str, Any], stop: threading.Event, ended: Callable[[str], bool] | None
) -> tuple[str, str, Usage, tuple[TokenLogprob, ...]]:
    """In a thread: the text, why it ended, the usage and the log probabilities."""
    texts: list[str] = []
    answer: dict[str, Any] = {}
    looked = 0

    def take(piece: dict[str, Any]) -> bool:
        """One piece of the reply; True ends the call."""
        nonlocal looked
        answer.update({key: piece[key] for key in ("error", "timings") if key in piece})
        for choice in piece.get("choices") or ():
            message = choice.get("delta") or choice.get("message") or {}
            texts.append(message.get("content") or "")
            answer["reason"] = choice["finish_reason"] or answer.get("reason")
            answer["logprobs"] = choice.get("logprobs")
        if ended is not None and not answer.get("reason") and ended("".join(texts)):
            answer["reason"] = "stop"
            return True
        tokens = piece.get("timings", {}).get("predicted_n", 0)
        if not answer.get("reason") and tokens >= looked + LOOK_EVERY:
            looked = tokens
            if has_looped("".join(texts)):
                answer["reason"] = "loop"
                return True
        return stop.is_set()

    try:
        if request.get("stream"):
            server.handle_chat_completions(request, take)
        else:
            take(server.handle_chat_completions(request))
    except Exception as error:  # a conversation that it cannot read: whatever Cython makes of C++'s exceptions
        raise _Refused(f"failed: {error}") from error
    if "error" in answer:
        raise _refused(answer["error"])
    if not answer.get("reason"):
        raise _Refused("failed: llama.cpp gave the request up")
    counts = answer["timings"]
    usage = Usage(int(counts["cache_n"] + counts["prompt_n"]), int(counts["predicted_n"]))
    steps = (answer["logprobs"] or {}).get("content") or ()
    if steps and not steps[-1]["token"]:  # the end of the turn, which is not written out; a stop text's are not listed
        steps = steps[:-1]
    return "".join(texts), answer["reason"], usage, tuple(map(_token_logprob, steps))


def _refused(error: dict[str, Any]) -> _Refused:
    if error.get("type") == "exceed_context_size_error":
        return _Refused(
            f"has no room for a reply: the prompt has {error.get('n_prompt_tokens')} tokens, "
            f"the context {error.get('n_ctx')}"
        )
    return _Refused(f"failed: {error.get('message')}")


def _token_logprob(step: dict[str, Any]) -> TokenLogprob:
    """One generated token: natural logarithms under the model's own distribution (T = 1)."""
    top = tuple((token["token"], token["logprob"]) for token in step["top_logprobs"])
    return TokenLogprob(step["token"], step["logprob"], top)


def _identity(engine: Engine, template: str | None) -> str:
    content = {
        "backend": "gguf",
        "context": engine.context,
        "template": hashlib.sha256(template.encode()).hexdigest() if template else None,
        "weights": engine.digest,
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
