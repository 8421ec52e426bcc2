"""Replies and failures as the store holds them: JSON, and what is read of it checked."""

from types import UnionType

import orjson

from evolvent.errors import CallError
from evolvent.models.protocols import Reply, TokenLogprob, Usage


def reply_to_json(reply: Reply) -> str:
    """A reply as it is stored."""
    return orjson.dumps(reply).decode()


def reply_from_json(text: str) -> Reply:
    """The reply that was stored as ``text``.

    Raises:
        ValueError, TypeError, LookupError: the text is damaged.
    """
    row = orjson.loads(text)
    row["usage"] = usage = Usage(**row["usage"])
    if row.get("served_by") is not None:  # older stores do not hold it
        row["served_by"] = tuple(row["served_by"])
    if row["logprobs"] is not None:
        row["logprobs"] = tuple(
            TokenLogprob(token["token"], token["logprob"], tuple((t, p) for t, p in token["top"]))
            for token in row["logprobs"]
        )
    reply = Reply(**row)
    _check(str, reply.text)
    _check(str | None, reply.finish_reason, reply.refusal, reply.reasoning, reply.server)
    _check(int, usage.prompt_tokens, usage.completion_tokens, reply.cut_max_tokens or 0)
    return reply


def _check(kind: type | UnionType, *values: object) -> None:
    if not all(isinstance(value, kind) for value in values):
        raise TypeError(f"not all of {kind}")


def error_to_json(error: CallError) -> str:
    """Why a call failed as it is stored."""
    return orjson.dumps({"error": error.message, "fix": error.fix, "raw": error.raw}).decode()


def error_from_json(text: str) -> CallError:
    """The failure that was stored as ``text``; older stores hold no fix.

    Raises:
        ValueError, TypeError, LookupError: the text is damaged.
    """
    words = orjson.loads(text)
    error = CallError(words["error"], fix=words.get("fix", ""), raw=words["raw"])
    _check(str, error.message, error.fix)
    return error
