"""Error bodies of many servers, read and judged."""
# ruff: noqa: E501 (servers' own sentences)

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.models.openai.server_errors import ServerError, error_in_success, read_error, retry_after


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
        ({"object": "chat.completion"}, None),
        ({"object": "error", "message": "flat", "code": 503}, ServerError(503, "flat", "503")),
        ({"object": "error", "message": "flat", "code": 40001}, ServerError(500, "flat", "40001")),
        ({"object": "error", "message": "flat", "type": "BadRequestError"}, ServerError(400, "flat", "BadRequestError")),
        ({"error": {"message": "inner", "code": "429"}}, ServerError(429, "inner", "429")),
        ({"error": {"message": "inner", "code": "²²²"}}, ServerError(500, "inner", "²²²")),
        ({"choices": [{"finish_reason": "error"}]}, ServerError(500, "the reply broke off with an error")),
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
        (ServerError(429, "Too many tokens, please wait before trying again."), True, False),
        (ServerError(429, "too big", "context_length_exceeded"), False, False),
        (ServerError(503, "loading"), True, False),
        (ServerError(101, "switching protocols, unasked"), True, False),
        (ServerError(308, "moved"), False, True),
    ],
)
def test_what_an_error_means(error: ServerError, temporary: bool, final: bool) -> None:
    assert (error.temporary, error.final_for_model) == (temporary, final)


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9", "retry-after-ms": "40"}, 0.04),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=7), True), "date": format_datetime(NOW, True)}, 7.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=7), True), "date": format_datetime(NOW, True)}, 0.0),
        ({"retry-after": "21 Oct 2015 07:2879993999"}, None),
        ({"retry-after": str(NOW.timestamp() + 7), "date": format_datetime(NOW, True)}, 7.0),
        ({"retry-after": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


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
