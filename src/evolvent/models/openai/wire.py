"""What goes over the wire: a request's body, a completion as the many servers write it, and times in headers."""

import json
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import Any

import orjson

from evolvent.errors import InputError, printable
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.models.reasoning import split_reasoning
from evolvent.models.stop_texts import before_stop, tokens_within
from evolvent.models.token_counts import CHARACTERS_A_TOKEN
from evolvent.records import Message

# Without one of these a reply is still a reply, drawn otherwise; without any other field it is not what was asked for.
LOGPROBS = ("logprobs", "top_logprobs")
OPTIONAL = ("seed", "top_p", "temperature", "stop", *LOGPROBS)
MOST_STOP_TEXTS = 4  # by the API's reference
OTHER_LENGTH = "max_completion_tokens"

MOST_TOKENS = 1 << 40
LONGEST_NAME = 300
OTHER_SHAPE = (AttributeError, LookupError, OverflowError, TypeError, ValueError)  # so JSON that is no completion ends
DEEPEST = 64  # levels; a completion with log probabilities has seven

# What servers and gateways say instead of the API's words, in lower case: Anthropic (end_turn, stop_sequence,
# max_tokens, refusal), Bedrock (guardrail_intervened), Cohere (complete, error_toxic), DeepSeek
# (insufficient_system_resource), Google (max_tokens, safety …), Mistral (model_length), TGI (eos_token), Together
# (eos), vLLM (abort, repetition), Zhipu (sensitive, network_error).
GIVEN_UP = "error"
MEANS = {
    word: reason
    for reason, words in {
        "stop": "stop eos eos_token stop_token stop_sequence end_turn complete completed",
        "length": "length max_tokens max_output_tokens max_new_tokens max_length model_length error_limit"
        " model_context_window_exceeded",
        "content_filter": "content_filter content_filtered safety recitation blocklist prohibited_content spii"
        " error_toxic refusal sensitive guardrail_intervened",
        "loop": "loop repetition",
        GIVEN_UP: "error abort aborted cancel cancelled canceled user_cancel timeout network_error"
        " insufficient_system_resource",
    }.items()
    for word in words.split()
}

EPOCH_S = 1e9  # a greater number of seconds is a point in time
EPOCH_MS = 1e11
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(d|h|ms|m|s))+?", re.ASCII)
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

log = logging.getLogger("evolvent")


@dataclass(slots=True)
class Dialect:
    """Which request fields the server takes for this model; refusals change it for all later calls.

    Attributes:
        model: the model's name at the server.
        uri: the model's URI, for the log.
        extra_body: the user's own fields, merged last.
        refused: fields that it refused; for ``max_tokens``, ``max_completion_tokens`` is sent.
    """

    model: str
    uri: str
    extra_body: Mapping[str, object]
    refused: set[str] = field(default_factory=set)

    def body(self, messages: Sequence[Message], sampling: Sampling, without: Collection[str] = ()) -> dict[str, object]:
        """The request body. At temperature 0 neither top_p nor seed decides anything, so neither is sent.

        Args:
            messages: the conversation.
            sampling: what is asked for.
            without: fields to go without on trial, as if they had been refused.

        Raises:
            InputError: more stop texts than the API takes.
        """
        body: dict[str, object] = {"model": self.model, "messages": messages, "temperature": sampling.temperature}
        body["stream"] = False  # which some proxies take for true where it is not given
        if sampling.temperature > 0:
            body["top_p"] = sampling.top_p  # also 1: some servers have another default
        if sampling.temperature > 0 and sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.stop:
            if len(sampling.stop) > MOST_STOP_TEXTS:
                words = f"model {self.uri}: {len(sampling.stop)} stop texts, and the API takes {MOST_STOP_TEXTS}"
                raise InputError(words, fix=f"Leave out {len(sampling.stop) - MOST_STOP_TEXTS} of them.")
            body["stop"] = list(sampling.stop)
        gone = {*self.refused, *without}
        if sampling.top_logprobs and gone.isdisjoint(LOGPROBS):  # neither says anything without the other
            body["logprobs"] = True
            body["top_logprobs"] = sampling.top_logprobs
        for name in gone:
            body.pop(name, None)
        if "max_tokens" not in self.extra_body and OTHER_LENGTH not in self.extra_body:
            body[OTHER_LENGTH if "max_tokens" in gone else "max_tokens"] = sampling.max_tokens
        body.update(self.extra_body)
        return body

    def refused_in(self, body: Mapping[str, object], refuses: Callable[[str], bool]) -> str | None:
        """The field of this body that the server refuses and that can be sent otherwise or not at all.

        Fields of ``extra_body`` are the user's own and are never left out.
        """
        for name in ("max_tokens", *OPTIONAL):
            if name in body and name not in self.extra_body and refuses(name):
                return name
        return None

    def learn(self, name: str, error: object) -> None:
        """Go without a refused field from now on, and say so."""
        self.refused.add(name)
        if name != "max_tokens":
            words = printable(str(error))
            log.warning(
                "model %s: the server refuses %s, so calls go without it from now on (%s)", self.uri, name, words
            )


def checked_extra(extra: Mapping[str, object]) -> dict[str, object]:
    """The user's own request fields.

    Raises:
        InputError: they are not JSON, or change what kind of answer there is.
    """
    if extra.get("stream") or extra.get("n", 1) != 1:
        raise InputError("extra request fields ask for a stream or several choices", fix="Leave out stream and n.")
    try:
        orjson.dumps(extra)
    except TypeError as error:
        raise InputError(f"the extra request fields are not JSON: {error}") from error
    return dict(extra)


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


def read_reply(body: Any, messages: Sequence[Message], sampling: Sampling) -> Reply:
    """Read a completion. Null content and tool calls without text give an empty text, not an error.

    Reasoning in the text (``<think>…</think>``) is taken out of it and kept beside, after that of a field of its own.

    Args:
        body: the parsed answer, whatever it is.
        messages: the conversation, to estimate its tokens if the server does not count them.
        sampling: what was asked for.

    Raises:
        one of OTHER_SHAPE: it is no completion.
    """
    choice = body["choices"][0]
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content, thoughts, refused = _content(message.get("content"))
    beside = message.get("reasoning_content") or message.get("reasoning") or thoughts
    beside = well_formed(beside) if isinstance(beside, str) else ""
    reason = finish_reason(choice)
    text, aloud = split_reasoning(content, unopened=not beside, cut=reason in ("length", "loop"))
    reasoning = "\n\n".join(filter(None, (beside, aloud))) if beside or aloud else None
    before = before_stop(text, sampling.stop)  # a server may take no stop texts, or pay no heed to them
    refusal = message.get("refusal") or refused or None
    model = _name(body.get("model"))
    return Reply(
        text=text if before is None else before,
        finish_reason=reason if before is None else "stop",
        usage=_usage(body.get("usage"), messages, content + beside),
        refusal=well_formed(refusal) if isinstance(refusal, str) else None,
        reasoning=reasoning,
        logprobs=_logprobs(choice.get("logprobs"), content) if sampling.top_logprobs else None,
        served_by=(model, _name(body.get("system_fingerprint"))) if model else None,
    )


def finish_reason(choice: Mapping[str, Any]) -> str:
    """Why a reply ended: in the API's words where the server's mean one of them, else in its own.

    ``unknown`` where it gives none; ``GIVEN_UP`` where it did not finish the reply.
    """
    reason = choice.get("finish_reason")
    if not reason:
        message = choice.get("message")
        called = isinstance(message, dict) and (message.get("tool_calls") or message.get("function_call"))
        return "tool_calls" if called else "unknown"
    word = well_formed(str(reason))[:LONGEST_NAME]
    return MEANS.get(re.sub(r"[- ]", "_", word.strip().lower()), word)


def well_formed(text: str) -> str:
    """The text with NULs and lone surrogates (half a character, cut by a token limit) replaced by U+FFFD."""
    text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _name(value: object) -> str | None:
    """A name that a server has for something, if it gives one."""
    return well_formed(value[:LONGEST_NAME]) if isinstance(value, str) and value else None


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


def _logprobs(logprobs: object, text: str) -> tuple[TokenLogprob, ...] | None:
    """One entry a token of the text, alternatives most likely first; None if the server gave none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    tokens = []
    listed = [bytes(entry.get("bytes") or ()) or well_formed(entry["token"]).encode() for entry in content]
    for entry in content[: tokens_within(text, listed)]:
        top = [(well_formed(t["token"]), float(t["logprob"])) for t in entry.get("top_logprobs") or ()]
        top.sort(key=lambda alternative: -alternative[1])
        tokens.append(TokenLogprob(well_formed(entry["token"]), float(entry["logprob"]), tuple(top)))
    return tuple(tokens)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        number = number_in(headers.get(name))
        if number is not None:
            return from_now(number / unit, headers)
    then = _timestamp(headers.get("retry-after"))
    return None if then is None else max(0.0, then - _now(headers))


def seconds(text: str | None) -> float | None:
    """The seconds of ``1s``, ``6m0s``, ``120ms``, ``1h2m3.5s`` or a plain number (0 below it); None for all else."""
    text = (text or "").strip().lower()
    if DURATION.fullmatch(text):
        return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(d|h|ms|m|s)", text))
    number = number_in(text)
    return None if number is None else max(0.0, number)


def number_in(text: str | None) -> float | None:
    """The finite number that a header holds, if it holds one."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) else None


def from_now(number: float, headers: Mapping[str, str]) -> float:
    """Seconds from now, at least 0, that a number means: a span, or a Unix time in seconds or milliseconds."""
    if number > EPOCH_MS:
        number /= 1000
    return max(0.0, number - _now(headers) if number > EPOCH_S else number)


def _now(headers: Mapping[str, str]) -> float:
    """The server's time, where it gives it: its clock need not be ours."""
    date = _timestamp(headers.get("date"))
    return time() if date is None else date


def _timestamp(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):  # no date, or one that no clock will show
        return None
