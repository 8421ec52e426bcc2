"""What a server says when it does not answer: read out of the many shapes that servers give it, and judged."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from math import isfinite

from evolvent.models.openai.dates import from_now, until

WORDS = 500
RETRIED = {408, 409, 429}
UNAVAILABLE = {401, 402, 403, 404, 405, 407}

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
MODERATED = re.compile(r"flagged|moderation|content[ _](policy|filter)", re.IGNORECASE)


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
        return "insufficient_quota" in self.code

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
        return named and REFUSED.search(f"{self.code} {self.message}") is not None


def read_error(status: int, body: object, raw: bytes, redact: Callable[[str], str]) -> ServerError:
    """Read an error body: OpenAI's ``error`` object, vLLM's flat one, FastAPI's ``detail``, plain text or HTML.

    Args:
        status: the HTTP status.
        body: the body as parsed JSON; None if it is not JSON.
        raw: the body's bytes, used when it is not JSON.
        redact: takes secrets out of the words, before they are cut.
    """
    if isinstance(body, dict):
        inner = body.get("error") or body.get("detail") or body
        fields = [field for field in inner if isinstance(field, dict)] if isinstance(inner, list) else []
        if fields:
            return _validation_error(status, fields, redact)
        if isinstance(inner, dict):
            message = inner.get("message") or inner.get("detail") or inner.get("msg") or str(inner)
            words = (str(inner[key]) for key in ("code", "type") if inner.get(key) is not None)
            return ServerError(status, _cut(redact(str(message))), " ".join(words), str(inner.get("param") or ""))
        return ServerError(status, _cut(redact(str(inner))))
    return ServerError(status, _cut(redact(_plain(raw.decode("utf-8", "replace")))))


def error_in_success(body: Mapping[str, object]) -> tuple[int, Mapping[str, object]] | None:
    """The error inside a 200 answer: the status that it amounts to, and its body. None if there is none inside."""
    choices = body.get("choices")
    if choices:
        choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else {}
        if choice.get("finish_reason") != "error":
            return None
        return 500, {"error": choice.get("error") or body.get("error") or "the reply broke off with an error"}
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


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            number = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if isfinite(number):
            return from_now(number, headers)
    return until(headers.get("retry-after"), headers)


def _names(message: str, parameter: str) -> bool:
    """Whether words name a request field as one: quoted, or right beside the refusing word, not just in a sentence."""
    quoted = rf"""['"`]{parameter}['"`]"""
    beside = rf"\b{parameter}\b['\"`)\]]*:?\s+(?:(?:is|are|was|field|parameter|argument)\s+)*(?:{REFUSED.pattern})"
    kind = r"request|body|input|parameters?|arguments?|fields?|keys?|names?"
    behind = rf"(?:{REFUSED.pattern})(?:\s+(?:{kind}))*:?\s*{parameter}\b"
    return re.search(rf"{quoted}|{beside}|{behind}", message, re.IGNORECASE) is not None


def _validation_error(status: int, details: list[dict[str, object]], redact: Callable[[str], str]) -> ServerError:
    """FastAPI's list of field errors; the request's own values are left out of the words."""
    parts, fields = [], []
    for detail in details:
        location = detail.get("loc")
        field = str(location[-1]) if isinstance(location, list) and location else ""
        parts.append(f"{field}: {detail.get('msg')}" if field else str(detail.get("msg")))
        fields.append(field)
    code = str(details[0].get("type") or "")
    return ServerError(status, _cut(redact("; ".join(parts))), code, fields[0] if len(fields) == 1 else "")


def _plain(text: str) -> str:
    """The readable words of an HTML page, or the text itself."""
    if "<html" not in text[:2000].lower() and "<!doctype" not in text[:200].lower():
        return text
    text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]+>", " ", text)
    return unescape(text)


def _cut(text: str) -> str:
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    if not text:
        return "(no words)"
    return text if len(text) <= WORDS else f"{text[:WORDS]}… ({len(text):,} characters)"
