"""A server's answer, read: a reply, an error for its caller, or a fault that another try may not meet."""

from collections.abc import Callable, Mapping, Sequence

from evolvent.errors import CallError, EvolventError
from evolvent.models.openai.connection import said
from evolvent.models.openai.reply import decode, read_reply
from evolvent.models.openai.retries import Fault, Transient
from evolvent.models.openai.server_errors import ServerError, error_in_success, read_error, retry_after
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message

SHOWN = 300
RAW_KEPT = 10_000  # characters of an answer that could not be read
AWAY = {502, 503, 504, 529}

Redact = Callable[[str], str]


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
        return _judge(status, headers, raw, messages, sampling, uri, redact)
    except (Transient, EvolventError):
        raise
    except Exception as error:  # a strange answer must not end the run
        words = f"HTTP {status}: an answer that cannot be read: {redact(said(error))}"
        raise Transient(words, raw=_kept(raw, redact)) from None


def _judge(
    status: int,
    headers: Mapping[str, str],
    raw: bytes,
    messages: Sequence[Message],
    sampling: Sampling,
    uri: str,
    redact: Redact,
) -> Reply | ServerError:
    body: object = None
    try:
        body = decode(raw)
    except ValueError:
        if 200 <= status < 300:
            kind = redact(headers.get("content-type", "no content type"))
            words = read_error(status, None, raw, redact).message
            what = f"a reply that cannot be read as JSON ({len(raw):,} bytes, {kind}): {words}"
            raise Transient(what, raw=_kept(raw, redact)) from None
    if 200 <= status < 300:
        inside = error_in_success(body) if isinstance(body, dict) else None
        if inside is None:
            return _completion(body, raw, messages, sampling, uri, redact)
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


def _completion(
    body: object, raw: bytes, messages: Sequence[Message], sampling: Sampling, uri: str, redact: Redact
) -> Reply:
    try:
        if not isinstance(body, dict):
            raise TypeError("no object")
        return read_reply(body, messages, sampling)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:  # JSON of another shape
        kept = _kept(raw, redact)
        raise CallError(f"model {uri}: the server's answer is no chat completion: {kept[:SHOWN]}", raw=kept) from error


def _kept(raw: bytes, redact: Redact) -> str:
    return redact(raw[: 4 * RAW_KEPT].decode("utf-8", "replace"))[:RAW_KEPT]
