"""The key of a call, a hash of all that decides its reply and of nothing else; and the seed of a call.

In the key: the model's identity (base URL, of several the first; model name, extra request fields; of local weights
their revision, dtype, chat template), the messages, temperature and max_tokens, top_p and seed above temperature 0,
top_logprobs when they are asked for, stop texts where there are any. Of a pair's losses: the base model's identity, the
layout, question, output and turns. Of a reward: the model's identity and the turns; of a vector: the model's identity
and the text.

Not in the key: time-outs, retries, concurrency, caps, prices and budgets, keys and their variables, device and batch
size, the stage and the record that the call is made for; at temperature 0 neither seed nor top_p.
"""

import hashlib
from collections.abc import Sequence

import orjson

from evolvent.models.protocols import Sampling
from evolvent.records import Message


def chat_key(identity: bytes, messages: Sequence[Message], sampling: Sampling) -> tuple[bytes, bytes]:
    """The key of a chat call.

    Args:
        identity: the model's, encoded.
        messages: the conversation.
        sampling: how the reply is drawn.

    Returns:
        The key, 16 bytes, and what was asked as canonical JSON.
    """
    # As floats: 0 and 0.0 are one temperature, and two JSON texts.
    decides: dict[str, object] = {"temperature": float(sampling.temperature), "max_tokens": sampling.max_tokens}
    if sampling.temperature > 0:
        decides |= {"top_p": float(sampling.top_p), "seed": sampling.seed}
    if sampling.top_logprobs:
        decides["top_logprobs"] = sampling.top_logprobs
    if sampling.stop:
        decides["stop"] = list(sampling.stop)
    request = orjson.dumps({"messages": messages, **decides}, option=orjson.OPT_SORT_KEYS)
    return request_key(identity, request), request


def request_key(identity: bytes, request: bytes) -> bytes:
    """The key of a chat call of which this was asked, as canonical JSON."""
    return hashlib.sha256(b"%d\n%b%b" % (len(identity), identity, request)).digest()[:16]


def losses_key(identity: str, layout: str, question: str, output: str, messages: Sequence[Message] | None) -> bytes:
    """The key of a pair's token losses and ranks."""
    return call_key(identity, layout, question, output, messages, "ranks")


def call_key(*parts: object) -> bytes:
    """The key of a call: a 16-byte hash of everything that decides its reply."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()[:16]


def call_seed(run_seed: int, record_id: str, stage: str, *, sample: int = 0, attempt: int = 0) -> int:
    """The seed of one model call, in [0, 2**31): a hash of what it is for, so that no call depends on another."""
    text = f"{run_seed}|{record_id}|{stage}|{sample}|{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
