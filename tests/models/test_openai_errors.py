"""What servers say when they do not answer, read, judged, and told without the key."""
# ruff: noqa: E501 (servers' own sentences)

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import CallError, ModelUnavailableError
from evolvent.models.openai import OpenAIChat, errors, patience
from evolvent.models.openai.errors import ServerError, error_in_success, read_error
from tests.models.openai_server import ASK, GREEDY, KEY, OK, Step, ask, completion, error, hurry, says, writes


def read(status: int, body: Any, raw: bytes = b"") -> ServerError:
    return read_error(status, body, raw, lambda text: text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"error": {"message": "bad", "type": "invalid_request_error", "param": "seed", "code": "unknown_parameter"}},
            ServerError(400, "bad", "unknown_parameter invalid_request_error", "seed"),
        ),
        ({"object": "error", "message": "flat", "type": "BadRequestError", "code": 400}, ServerError(400, "flat", "400 BadRequestError")),
        ({"error": "only words"}, ServerError(400, "only words")),
        ({"detail": "fastapi words"}, ServerError(400, "fastapi words")),
        (
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 7}]},
            ServerError(400, "seed: Extra inputs are not permitted", "extra_forbidden", "seed"),
        ),
    ],
)  # fmt: skip
def test_error_shapes(body: Any, error: ServerError) -> None:
    assert read(400, body) == error


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"choices": [{"finish_reason": "stop"}], "error": "a warning"}, None),
        ({"choices": [{"finish_reason": "content_filter"}]}, None),
        ({"choices": [7]}, None),
        ({"choices": [{"message": {"content": "some"}}], "error": {"code": 429, "message": "later"}}, None),
        ({"choices": [{"message": {"content": None}}], "error": {"code": 429, "message": "a"}}, ServerError(429, "a", "429")),
        ({"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "b"}}]}, ServerError(502, "b", "502")),
        ({"object": "chat.completion"}, None),
        ({"object": "error", "message": "flat", "code": 503}, ServerError(503, "flat", "503")),
        ({"object": "error", "message": "flat", "code": 40001}, ServerError(500, "flat", "40001")),
        ({"object": "error", "message": "flat", "type": "BadRequestError"}, ServerError(400, "flat", "BadRequestError")),
        ({"error": {"message": "inner", "code": "429"}}, ServerError(429, "inner", "429")),
        ({"error": {"message": "inner", "code": "²²²"}}, ServerError(500, "inner", "²²²")),
        ({"choices": [{"finish_reason": "error"}]}, ServerError(500, "the reply broke off: finish_reason error")),
        ({"choices": [{"finish_reason": "error", "error": {"message": "died"}}]}, ServerError(500, "died")),
    ],
)  # fmt: skip
def test_errors_inside_a_success(body: Any, found: ServerError | None) -> None:
    inside = error_in_success(body)
    assert (inside and read(*inside)) == found


def test_pages_and_text_are_read_as_words() -> None:
    page = b"<!DOCTYPE html><html><style>p {}</style><title>502</title><p>Bad &amp; gone</p></html>"
    assert read(502, None, page).message == "502 Bad & gone"
    assert read(500, None, b"Internal Server Error").message == "Internal Server Error"
    assert read(500, None, b"").message == "(no words)"


@pytest.mark.parametrize(
    ("parameter", "body", "refused"),
    [
        ("temperature", {"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model.", "param": "temperature", "code": "unsupported_value"}}, True),
        ("temperature", {"error": {"message": "temperature: must be at most 2", "param": "temperature", "code": "invalid_value"}}, False),
        ("seed", {"detail": "Unexpected fields in the request: {'seed'}"}, True),
        ("seed", {"error": {"message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}}, True),
        ("seed", {"error": {"message": "unknown parameter: seedling"}}, False),
        ("top_p", {"error": {"message": "`temperature` and `top_p` cannot both be specified for this model."}}, True),
        ("top_p", {"error": {"message": "seed is not supported", "param": "seed"}}, False),
        ("seed", {"error": {"message": "Invalid prompt, not allowed: 'Explain how to plant a seed at a high temperature'"}}, False),
        ("temperature", {"error": {"message": "Invalid prompt, not allowed: 'Explain how to plant a seed at a high temperature'"}}, False),
        ("seed", {"error": {"message": "seed: Extra inputs are not permitted"}}, True),
        ("seed", {"error": {"message": "body.seed: unexpected field"}}, True),
        ("seed", {"error": {"message": "seed is not supported by this model"}}, True),
        ("top_p", {"error": {"message": "Unknown parameter: top_p"}}, True),
        ("top_p", {"error": {"message": "The parameter top_p is deprecated"}}, True),
        ("max_tokens", {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}}, True),
        ("max_tokens", {"error": {"message": "max_tokens 99999 is not supported: at most 16384", "param": "max_tokens", "code": "unsupported_value"}}, False),
        ("max_tokens", {"error": {"message": "max_tokens is too large: 99999. This model supports at most 16384 tokens.", "param": "max_tokens", "code": "invalid_value"}}, False),
    ],
)  # fmt: skip
def test_which_fields_are_refused(parameter: str, body: Any, refused: bool) -> None:
    assert read(400, body).refuses(parameter) is refused
    assert read(422, body).refuses(parameter) is refused
    assert not read(500, body).refuses(parameter)


@pytest.mark.parametrize(
    ("error", "temporary", "final"),
    [
        (ServerError(400, "no"), False, False),
        (ServerError(401, "no"), False, True),
        (ServerError(404, "The model with a long context window does not exist"), False, True),
        (ServerError(429, "slow down", "rate_limit_exceeded"), True, False),
        (ServerError(429, "Request too large for gpt on tokens per min: Limit 30000, Requested 40000"), False, False),
        (ServerError(429, "no money", "insufficient_quota"), False, True),
        (ServerError(403, "user quota is not enough", "insufficient_user_quota"), False, True),
        (ServerError(429, "suspended", "exceeded_current_quota_error"), False, True),
        (ServerError(400, "Your credit balance is too low to access the API.", "invalid_request_error"), False, True),
        (ServerError(429, "You exceeded your current quota, please wait.", "rate_limit_exceeded"), True, False),
        (ServerError(400, "Bad input: 'Explain insufficient funds'", "invalid_request_error"), False, False),
        (ServerError(422, "prompt: 'My credit balance is too low, in arrears'", "string_type"), False, False),
        (ServerError(403, "flagged by moderation: 'insufficient funds'", "policy"), False, False),
        (ServerError(429, "Too many tokens, please wait before trying again."), True, False),
        (ServerError(429, "too big", "context_length_exceeded"), False, False),
        (ServerError(503, "loading"), True, False),
        (ServerError(101, "switching protocols, unasked"), True, False),
        (ServerError(308, "moved"), False, True),
    ],
)
def test_what_an_error_means(error: ServerError, temporary: bool, final: bool) -> None:
    assert (error.temporary, error.final_for_model) == (temporary, final)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(300, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["error", "detail", "message", "code", "loc"]), inner)
        ),
    ),
    st.binary(),
)
def test_any_body_gives_a_short_error(status: int, body: Any, raw: bytes) -> None:
    error = read(status, body, raw)
    assert error.status == status
    assert 0 < len(error.message) < 560


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


FINAL = {
    "400": error(400, "messages must alternate"),
    "413": error(413, "payload too large"),
    "422": says({"detail": [{"loc": ["body", "messages"], "msg": "bad role", "type": "value_error"}]}, 422),
    "moderated": error(403, "your input was flagged"),
}


@pytest.mark.parametrize("refusal", FINAL.values(), ids=FINAL)
def test_a_refused_conversation_is_never_sent_again(refusal: Step) -> None:
    failure, server = ask(refusal, OK)
    assert isinstance(failure, CallError)
    assert len(server.bodies) == 1


TOO_LONG = {
    "code": error(400, "too big", code="context_length_exceeded"),
    "vLLM": error(400, "This model's maximum context length is 64 tokens. However, you requested 90 tokens.", code=400),
    "llama.cpp": error(500, "the request exceeds the available context size", type="exceed_context_size_error"),
    "413": error(413, "prompt is too long: 9 tokens > 8 maximum"),
}


@pytest.mark.parametrize("refusal", TOO_LONG.values(), ids=TOO_LONG)
def test_context_length_is_named_and_never_sent_again(refusal: Step) -> None:
    failure, server = ask(refusal, OK)
    assert isinstance(failure, CallError)
    assert "do not fit the model's context" in str(failure)
    assert "--max-tokens" in failure.fix
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        error(429, "You exceeded your quota", code="insufficient_quota"),
        error(402, "Insufficient balance"),
        error(403, "user quota is not enough", code="insufficient_user_quota"),
        error(400, "Your credit balance is too low to access the API."),
    ],
)
def test_no_quota_is_not_waited_for(refusal: Step) -> None:
    failure, server = ask(refusal, OK)
    assert isinstance(failure, ModelUnavailableError)
    assert "no quota left" in failure.fix
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "leak",
    [
        error(400, f"bad header Bearer {KEY}"),
        error(500, f"upstream said {KEY[:14]}…"),
        error(404, f"{'x' * 490} {KEY}"),
        writes(f"<html>{KEY}</html>", 503, "text/html"),
        writes(f"not json {KEY}"),
        says({"echo": KEY}),
        says({"error": {"message": f"key {KEY} is expired", "code": 401}}),
    ],
)
def test_key_is_in_no_error_and_no_log(leak: Step, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    failure, _ = ask(leak, api_key=KEY, models=(KEY,))
    assert isinstance(failure, CallError | ModelUnavailableError)
    chain: BaseException | None = failure
    while chain is not None:
        assert KEY[:12] not in repr(chain) + str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert KEY[:12] not in caplog.text


def test_what_could_not_be_read_is_kept_without_the_key() -> None:
    failure, _ = ask(writes(f"half {KEY} " + "x" * 50_000), api_key=KEY)
    assert isinstance(failure, CallError)
    assert failure.raw is not None
    assert failure.raw.startswith("half [key] xxx")
    assert len(failure.raw) == 10_000


def test_short_key_is_cut_out_too() -> None:
    failure, _ = ask(error(400, "bad header Bearer local-key."), api_key="local-key")
    assert str(failure).endswith("bad header Bearer [key].")


def test_long_error_is_cut() -> None:
    failure, _ = ask(error(400, "x" * 100_000))
    assert len(str(failure)) < 700
    assert "100,000 characters" in str(failure)


def test_words_that_are_no_text_can_be_shown_and_stored() -> None:
    """Header bytes that are not UTF-8 arrive as half characters."""

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        kind = b"Content-Type: text/html; charset=\xff\xfe\r\nContent-Length: 9\r\nConnection: close\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n<html>no<")
        await writer.drain()
        writer.close()

    async def call() -> str:
        server = await asyncio.start_server(odd, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        model = OpenAIChat("m", uri="openai:m", base_url=address, api_key=None)
        try:
            with pytest.raises(CallError, match="charset=") as caught:
                await model.chat(ASK, GREEDY)
            return str(caught.value)
        finally:
            await model.close()
            server.close()

    assert asyncio.run(call()).encode()


def test_an_answer_that_nobody_thought_of_ends_its_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError("strange")

    monkeypatch.setattr(errors, "read_reply", bug)
    failure, server = ask(OK)
    assert isinstance(failure, CallError)
    assert "ZeroDivisionError: strange" in str(failure)
    assert json.loads(failure.raw or "") == completion()
    assert len(server.bodies) == patience.MAX_FAULTS
