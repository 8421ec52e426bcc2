"""What a server's answer says: a reply, an error for its caller, or a fault that another try may not meet.

Errors are read out of the many shapes that servers give them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from html import unescape
from typing import Any

from evolvent.errors import CallError, EvolventError
from evolvent.models.openai.wire import (
    GIVEN_UP,
    LOGPROBS,
    OTHER_SHAPE,
    decode,
    finish_reason,
    read_reply,
    retry_after,
    well_formed,
)
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message

WORDS = 500  # characters of a server's message that are shown
SHOWN = 300  # characters of an answer that is no completion
RAW_KEPT = 10_000  # characters of an answer that could not be read

RETRIED = {408, 409, 429}
UNAVAILABLE = {401, 402, 403, 404, 405, 407}
AWAY = {502, 503, 504, 529}

CONTEXT = re.compile(
    r"context[ _-]?(length|window|size)|max_model_len|(prompt|input) (is )?too long|too many (input )?tokens"
    r"|(reduce|shorten) the (length|size) of (the|your) (input|prompt|messages)|request too large",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"unsupported|(not|n't) support|unknown|unrecogni[sz]ed|unexpected|extra_forbidden|extra inputs"
    r"|not (permitted|allowed)|deprecated|only the default|cannot both|not (be )?accepted"
    r"|invalid (parameter|argument|field)",
    re.IGNORECASE,
)
# How servers call an account that is empty, in codes and words; a quota of requests a minute is a rate limit.
UNPAID = re.compile(
    r"insufficient[ _](user[ _])?(quota|balance|credits?|funds)|credit balance is too low"
    r"|exceeded_current_quota|billing_(hard_limit|not_active)|account_?overdue|arrearage",
    re.IGNORECASE,
)
NO_CREDIT = "Your credit balance is too low"  # how Anthropic's answer begins, a 400
OF_THE_ACCOUNT = {401, 402, 403, 429}  # other errors may repeat what the conversation says
MODERATED = re.compile(r"flagged|moderation|content[ _](policy|filter)", re.IGNORECASE)

# Where a completion's message has something that was generated.
HOLDS = ("content", "refusal", "reasoning", "reasoning_content", "tool_calls", "function_call")

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ServerError:
    """An answer that is no completion.

    Attributes:
        status: the HTTP status; the error's own code when it came with a 200.
        message: the server's words, cut to a readable length.
        code: the error's code and type words, as far as given (``insufficient_quota``, ``unsupported_parameter``).
        parameter: the request field that the server names as the cause, or "".
    """

    status: int
    message: str
    code: str = ""
    parameter: str = ""

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}"

    @property
    def too_long(self) -> bool:
        """The conversation and the reply do not fit the model's context; no retry helps."""
        if "context_length" in self.code or "exceed_context" in self.code:
            return True
        if self.status == 429:  # "too many tokens, please wait" is a rate limit
            return "request too large" in self.message.lower()
        return self.status not in UNAVAILABLE and CONTEXT.search(self.message) is not None

    @property
    def out_of_quota(self) -> bool:
        """The account is empty: not a rate limit, although it is a 429 too."""
        if UNPAID.search(self.code) or (self.status == 400 and self.message.startswith(NO_CREDIT)):
            return True
        speaks_of_it = self.status in OF_THE_ACCOUNT and not MODERATED.search(self.message)
        return speaks_of_it and UNPAID.search(self.message) is not None

    @property
    def unpaid(self) -> bool:
        """No money: no call can succeed, whoever sends it."""
        return self.out_of_quota or self.status == 402

    @property
    def temporary(self) -> bool:
        """The same request may succeed later."""
        return (self.status in RETRIED or self.status >= 500 or self.status < 200) and not (
            self.too_long or self.out_of_quota
        )

    @property
    def final_for_model(self) -> bool:
        """It reads as if no call to this model could succeed: no key, no such model, no such path, no money."""
        if self.status == 403 and MODERATED.search(self.message):
            return False  # one conversation was refused, not the model
        return self.out_of_quota or self.status in UNAVAILABLE or 300 <= self.status < 400

    def refuses(self, parameter: str) -> bool:
        """Whether the server will not take this request field at all (an unfit value of it is another matter)."""
        if self.status not in (400, 422):
            return False
        named = self.parameter == parameter if self.parameter else _names(self.message, parameter)
        if parameter == "max_tokens":  # "max_tokens is too large" names it too
            return "max_completion_tokens" in self.message or (named and "unsupported_parameter" in self.code)
        if named and parameter in LOGPROBS:  # how many alternatives there are to be is no choice of the user's
            return True
        return named and REFUSED.search(f"{self.code} {self.message}") is not None


class Fault(Enum):
    """What kind of fault one try met."""

    LIMITED = "limited"  # 429: the server is well and only asks for patience
    AWAY = "away"  # 502, 503, 504, 529, a connection that broke
    UNREACHABLE = "unreachable"  # no connection came about
    LATE = "late"  # no reply in time
    REFUSED = "refused"  # 401, 403, 404 …: no call can succeed, or this one met a firewall
    BROKEN = "broken"  # any other error, a reply that cannot be read


class Transient(Exception):
    """A try that failed in a way that another one may not.

    Args:
        words: what happened, in the server's words where it spoke.
        fault: what kind of fault it was.
        after: seconds that the server asks to wait.
        raw: what the server sent, if it could not be read.
        error: the server's error, if it is ``REFUSED``.
    """

    def __init__(
        self,
        words: str,
        fault: Fault = Fault.BROKEN,
        *,
        after: float | None = None,
        raw: str | None = None,
        error: ServerError | None = None,
    ) -> None:
        super().__init__(well_formed(words))
        self.fault = fault
        self.after = after
        self.raw = raw
        self.error = error


def read_answer(
    status: int,
    headers: Mapping[str, str],
    raw: bytes,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    uri: str,
    redact: Redact,
) -> Reply | ServerError:
    """What an answer says.

    Args:
        status: its HTTP status.
        headers: its headers.
        raw: its body.
        messages: the conversation that it answers.
        sampling: what was asked for.
        uri: the model's URI, for errors.
        redact: takes the key out of words.

    Raises:
        Transient: an error that another try may not meet; an answer of a kind that nobody thought of is one too.
        CallError: JSON that is no chat completion.
    """
    try:
        succeeded = 200 <= status < 300
        body: object = None
        try:
            body = decode(raw)
            if isinstance(body, list) and len(body) == 1 and isinstance(body[0], dict) and "error" in body[0]:
                body = body[0]  # as Google's servers send it
        except ValueError:
            if succeeded:
                kind = redact(headers.get("content-type", "no content type"))
                words = read_error(status, None, raw, redact).message
                what = f"a reply that cannot be read as JSON ({len(raw):,} bytes, {kind}): {words}"
                raise Transient(what, raw=_kept(raw, redact)) from None
        if succeeded:
            inside = error_in_success(body) if isinstance(body, dict) else None
            if inside is None and isinstance(body, dict) and (not body or body.get("choices", True) in (None, [])):
                raise Transient("a reply without choices", raw=_kept(raw, redact))
            if inside is None:
                try:
                    return read_reply(body, messages, sampling)
                except OTHER_SHAPE as cause:
                    kept = _kept(raw, redact)
                    what = f"model {uri}: the server's answer is no chat completion: {kept[:SHOWN]}"
                    raise CallError(what, raw=kept) from cause
            status, body = inside
        error = read_error(status, body, raw, redact)
        if 300 <= status < 400:
            error = ServerError(status, f"the server redirects to {redact(headers.get('location', 'nowhere'))}")
        if error.temporary:
            fault = Fault.LIMITED if status == 429 else Fault.AWAY if status in AWAY else Fault.BROKEN
            raise Transient(str(error), fault, after=retry_after(headers))
        if error.final_for_model and not error.unpaid:
            raise Transient(str(error), Fault.REFUSED, error=error)
        return error
    except (Transient, EvolventError):
        raise
    except Exception as error:  # a strange answer must not end the run
        words = f"HTTP {status}: an answer that cannot be read: {redact(said(error))}"
        raise Transient(words, raw=_kept(raw, redact)) from None


def read_error(status: int, body: object, raw: bytes, redact: Redact) -> ServerError:
    """Read an error body: OpenAI's ``error`` object, vLLM's flat one, FastAPI's ``detail``, plain text or HTML.

    Args:
        status: the HTTP status.
        body: the body as parsed JSON; None if it is not JSON.
        raw: the body's bytes, used when it is not JSON.
        redact: takes secrets out of the words, before they are cut.
    """
    code = parameter = ""
    words: object = None
    if isinstance(body, dict):
        words = inner = body.get("error") or body.get("detail") or body
        fields = [field for field in inner if isinstance(field, dict)] if isinstance(inner, list) else []
        if fields:
            words, code, parameter = _validation_error(fields)
        elif isinstance(inner, dict):
            words = inner.get("message") or inner.get("detail") or inner.get("msg") or inner
            code = " ".join(str(inner[key]) for key in ("code", "type") if inner.get(key) is not None)
            parameter = str(inner.get("param") or "")
    else:
        words = _plain(raw.decode("utf-8", "replace"))
    text = " ".join(well_formed(redact(str(words))).split()) or "(no words)"
    text = text if len(text) <= WORDS else f"{text[:WORDS]}… ({len(text):,} characters)"
    return ServerError(status, text, code, parameter)


def error_in_success(body: Mapping[str, object]) -> tuple[int, Mapping[str, object]] | None:
    """The error inside a 200 answer: the status that it amounts to, and its body. None if there is none inside."""
    choices = body.get("choices")
    if choices:
        choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else {}
        message = choice.get("message")
        error = choice.get("error") or body.get("error")
        broke_off = finish_reason(choice) == GIVEN_UP
        if not broke_off and not (error and isinstance(message, dict) and not any(map(message.get, HOLDS))):
            return None
        body = {"error": error or f"the reply broke off: finish_reason {choice.get('finish_reason')}"}
    error = body if body.get("object") == "error" else body.get("error")
    if not error:
        return None
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 300 <= code < 600:
        return code, body
    kind = str(error.get("type")) if isinstance(error, dict) else ""
    return (400 if kind.startswith(("invalid_request", "BadRequest")) else 500), body


def said(error: Exception) -> str:
    """An exception's type and words, without a proxy's password."""
    words = re.sub(r"://\S*@", "://", str(error))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _names(message: str, parameter: str) -> bool:
    """Whether words name a request field as one: quoted, or right beside the refusing word, not just in a sentence."""
    quoted = rf"""['"`]{parameter}['"`]"""
    outer = rf"\b{parameter}\b['\"`)\]]*:?\s+(?:(?:is|are|was|field|parameter|argument)\s+)*(?:{REFUSED.pattern})"
    kind = r"request|body|input|parameters?|arguments?|fields?|keys?|names?"
    behind = rf"(?:{REFUSED.pattern})(?:\s+(?:{kind}))*:?\s*{parameter}\b"
    return re.search(rf"{quoted}|{outer}|{behind}", message, re.IGNORECASE) is not None


def _validation_error(details: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Words, code and field of FastAPI's list of field errors; the request's own values are left out of the words."""
    parts, fields = [], []
    for detail in details:
        location = detail.get("loc")
        field = str(location[-1]) if isinstance(location, list) and location else ""
        parts.append(f"{field}: {detail.get('msg')}" if field else str(detail.get("msg")))
        fields.append(field)
    return "; ".join(parts), str(details[0].get("type") or ""), fields[0] if len(fields) == 1 else ""


def _plain(text: str) -> str:
    """The readable words of an HTML page, or the text itself."""
    if "<html" not in text[:2000].lower() and "<!doctype" not in text[:200].lower():
        return text
    text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]+>", " ", text)
    return unescape(text)


def _kept(raw: bytes, redact: Redact) -> str:
    return redact(raw[: 4 * RAW_KEPT].decode("utf-8", "replace"))[:RAW_KEPT]
