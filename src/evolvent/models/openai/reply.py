"""A chat completion, as the many servers write it, read into a Reply."""

import json
from collections.abc import Mapping, Sequence

import orjson

from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.models.reasoning import split_reasoning
from evolvent.models.token_counts import CHARACTERS_A_TOKEN
from evolvent.records import Message

MOST_TOKENS = 1 << 40
DEEPEST = 64  # levels; a completion with log probabilities has seven


def decode(raw: bytes) -> object:
    """Parse a body.

    orjson refuses what some servers write and Python's parser takes: NaN, and half a surrogate pair.

    Raises:
        ValueError: it is not JSON, it was cut, or it is nested too deeply to be walked.
    """
    try:
        body: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            body = json.loads(raw)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return body
    level: list[dict[str, object] | list[object]] = [[body]]
    for _ in range(DEEPEST):
        inside = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
        level = [inner for inner in inside if isinstance(inner, dict | list)]
    if level:
        raise ValueError("nested too deeply")
    return body


def read_reply(body: Mapping[str, object], messages: Sequence[Message], sampling: Sampling) -> Reply:
    """Read a completion. Null content and tool calls without text give an empty text, not an error.

    Reasoning in the text (``<think>…</think>``) is taken out of it and kept beside, after that of a field of its own.

    Args:
        body: the parsed answer.
        messages: the conversation, to estimate its tokens if the server does not count them.
        sampling: what was asked for.

    Raises:
        ValueError: the answer holds no choice.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("no choices")
    choice = choices[0]
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content, thoughts, refused = _content(message.get("content"))
    beside = message.get("reasoning_content") or message.get("reasoning") or thoughts
    beside = well_formed(beside) if isinstance(beside, str) else ""
    text, aloud = split_reasoning(content, unopened=not beside)
    reasoning = "\n\n".join(filter(None, (beside, aloud))) if beside or aloud else None
    refusal = message.get("refusal") or refused or None
    called = message.get("tool_calls") or message.get("function_call")
    reason = choice.get("finish_reason") or ("tool_calls" if called else "unknown")
    return Reply(
        text=text,
        finish_reason=well_formed(str(reason)),
        usage=_usage(body.get("usage"), messages, content + beside),
        refusal=well_formed(refusal) if isinstance(refusal, str) else None,
        reasoning=reasoning,
        logprobs=_logprobs(choice.get("logprobs")) if sampling.top_logprobs else None,
    )


def well_formed(text: str) -> str:
    """The text with each lone surrogate (half a character, cut by a token limit) replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _content(content: object) -> tuple[str, str, str]:
    """Text, thoughts and refusal of a message's content: a string, null, or a list of typed parts."""
    if isinstance(content, str):
        return well_formed(content), "", ""
    found: dict[str, str] = {"text": "", "thinking": "", "refusal": ""}
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            found["text"] += part
            continue
        kind = {"output_text": "text", "reasoning": "thinking"}.get(part.get("type", "text"), part.get("type", "text"))
        value = part.get(kind, part.get("text"))
        if kind in found:
            found[kind] += value if isinstance(value, str) else _content(value)[0]
    return well_formed(found["text"]), found["thinking"], found["refusal"]


def _usage(usage: object, messages: Sequence[Message], text: str) -> Usage:
    """The server's counts; where one is missing, a rough four characters a token, marked as an estimate."""
    counts = usage if isinstance(usage, dict) else {}
    prompt, completion = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    if prompt is not None and completion is not None:
        return Usage(prompt, completion)
    asked = sum(len(turn["content"]) for turn in messages)
    return Usage(
        -(-asked // CHARACTERS_A_TOKEN) if prompt is None else prompt,
        -(-len(text) // CHARACTERS_A_TOKEN) if completion is None else completion,
        estimated=True,
    )


def _count(value: object) -> int | None:
    """A number of tokens, if it is one that can be."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


def _logprobs(logprobs: object) -> tuple[TokenLogprob, ...] | None:
    """One entry a generated token, alternatives most likely first; None if the server gave none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    tokens = []
    for entry in content:
        top = [(well_formed(t["token"]), float(t["logprob"])) for t in entry.get("top_logprobs") or ()]
        top.sort(key=lambda alternative: -alternative[1])
        tokens.append(TokenLogprob(well_formed(entry["token"]), float(entry["logprob"]), tuple(top)))
    return tuple(tokens)
