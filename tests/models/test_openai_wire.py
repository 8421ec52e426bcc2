"""What goes over the wire: request bodies, completions as the many servers write them, times in headers."""

import asyncio
import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.call_store.store import CallStore
from evolvent.call_store.stored import StoredChat
from evolvent.errors import CallError, InputError
from evolvent.models.openai.wire import MOST_TOKENS, retry_after, seconds
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from tests.models.openai_server import ASK, GREEDY, OK, WARM, Body, ask, completion, hurry, says, serving, writes


def reply_to(body: Any, sampling: Sampling = GREEDY) -> Reply:
    """The reply that a server's 200 answer with this body becomes."""

    async def ask() -> Reply:
        async with serving(says(body)) as (_, model):
            return await model.chat(ASK, sampling)

    return asyncio.run(ask())


def body_of(sampling: Sampling, **options: Any) -> Body:
    """The request body that this sampling becomes."""

    async def ask() -> Body:
        async with serving(OK, **options) as (server, model):
            await model.chat(ASK, sampling)
            return server.bodies[0]

    return asyncio.run(ask())


def test_a_reply_is_read_whole() -> None:
    assert reply_to(completion()) == Reply("hello", "stop", Usage(5, 2))


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ({"model": "small-v2", "system_fingerprint": "fp_1"}, ("small-v2", "fp_1")),
        ({"model": "small-v2", "system_fingerprint": None}, ("small-v2", None)),
        ({"model": "m" * 10_000, "system_fingerprint": 7}, ("m" * 300, None)),
        ({"model": None, "system_fingerprint": "fp_1"}, None),
        ({"model": {"id": 1}}, None),
        ({}, None),
    ],
)
def test_what_a_server_says_it_answered_with_is_kept(named: Body, read: object) -> None:
    assert reply_to(completion() | named).served_by == read


def test_request_holds_what_the_sampling_says() -> None:
    assert body_of(WARM) == {
        "model": "tiny", "messages": ASK, "temperature": 0.7, "top_p": 0.9, "seed": 7, "max_tokens": 16,
        "stream": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sampling", "absent"),
    [
        (Sampling(temperature=0, top_p=0.5, seed=3), {"top_p", "seed", "logprobs", "top_logprobs"}),
        (Sampling(temperature=1, top_p=1, seed=None), {"seed"}),
    ],
)
def test_what_decides_nothing_is_not_sent(sampling: Sampling, absent: set[str]) -> None:
    assert not absent & body_of(sampling).keys()


def test_a_top_p_of_1_is_sent_since_some_servers_have_another_default() -> None:
    assert body_of(Sampling(temperature=1, top_p=1))["top_p"] == 1


def test_extra_body_is_merged_last() -> None:
    extra = {"temperature": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    body = body_of(WARM, extra_body=extra)
    assert (body["temperature"], body["chat_template_kwargs"]) == (0.1, {"enable_thinking": False})


def test_extra_max_completion_tokens_replaces_max_tokens() -> None:
    body = body_of(WARM, extra_body={"max_completion_tokens": 99})
    assert body["max_completion_tokens"] == 99
    assert "max_tokens" not in body


def test_stop_texts_are_sent_and_cut_at_where_the_server_paid_no_heed() -> None:
    stopping = replace(GREEDY, stop=("###", "\nQ:"))
    assert body_of(stopping)["stop"] == ["###", "\nQ:"]
    assert "stop" not in body_of(GREEDY)
    reply = reply_to(completion({"content": "é one\nQ: two ###"}, finish_reason="length"), stopping)
    assert (reply.text, reply.finish_reason, reply.usage) == ("é one", "stop", Usage(5, 2))
    reply = reply_to(completion({"content": "<think>### or not</think>one ### two"}), stopping)
    assert (reply.text, reply.reasoning) == ("one ", "### or not")
    reply = reply_to(completion({"content": "one"}, finish_reason="length"), stopping)
    assert (reply.text, reply.finish_reason) == ("one", "length")


def test_more_stop_texts_than_the_api_takes_are_refused() -> None:
    with pytest.raises(InputError, match="5 stop texts, and the API takes 4"):
        body_of(replace(GREEDY, stop=tuple("abcde")))


def test_null_content_is_empty_text() -> None:
    assert reply_to(completion({"content": None})).text == ""


def test_refusal_is_kept_beside_an_empty_text() -> None:
    reply = reply_to(completion({"content": None, "refusal": "I cannot."}))
    assert (reply.text, reply.refusal) == ("", "I cannot.")


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_reasoning_in_tags_is_taken_out_of_the_text(finish_reason: str) -> None:
    reply = reply_to(completion({"content": "<think>\nsix by seven\n</think>\n\n42"}, finish_reason=finish_reason))
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("42", "six by seven", finish_reason)


def test_reasoning_that_never_ended_is_no_text() -> None:
    reply = reply_to(completion({"content": "<think>\nsix by"}, finish_reason="length"))
    assert (reply.text, reply.reasoning) == ("", "six by")


def test_reasoning_of_a_field_and_of_tags_are_both_kept_and_counted() -> None:
    body = completion({"content": "<think>b</think>42", "reasoning_content": "a"}) | {"usage": None}
    reply = reply_to(body)
    assert (reply.text, reply.reasoning) == ("42", "a\n\nb")
    assert reply.usage.completion_tokens == 5  # of 19 characters


def test_a_text_beside_reasoning_of_a_field_may_speak_of_the_tag() -> None:
    text = "Close it so:\n</think>\nand answer."
    reply = reply_to(completion({"content": text, "reasoning_content": "hm"}))
    assert (reply.text, reply.reasoning) == (text, "hm")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_beside_the_text(name: str) -> None:
    reply = reply_to(completion({"content": "42", name: "six by seven"}))
    assert (reply.text, reply.reasoning) == ("42", "six by seven")


def test_content_parts_are_joined() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "one "},
        {"type": "text", "text": "two"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    reply = reply_to(completion({"content": parts}))
    assert (reply.text, reply.reasoning, reply.refusal) == ("one two", "hm", None)


@pytest.mark.parametrize(("said", "read"), [("tool_calls", "tool_calls"), (None, "tool_calls")])
def test_tool_call_without_text(said: str | None, read: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = reply_to(completion({"content": None, "tool_calls": [call]}, finish_reason=said))
    assert (reply.text, reply.finish_reason) == ("", read)


@pytest.mark.parametrize("said", ["length", "content_filter"])
def test_finish_reason_is_the_servers_word(said: str) -> None:
    assert reply_to(completion(finish_reason=said)).finish_reason == said


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("COMPLETE", "stop"),
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("model_length", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("content-filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("repetition", "loop"),
        ("function_call", "function_call"),
        ("something new", "something new"),
    ],
)
def test_finish_reasons_outside_the_standard_are_read_as_what_they_mean(said: str, means: str) -> None:
    assert reply_to(completion(finish_reason=said)).finish_reason == means


@pytest.mark.parametrize("said", ["error", "ERROR", "abort", "cancelled", "insufficient_system_resource"])
def test_a_reply_that_the_server_gave_up_is_asked_for_again(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    reply, server = ask(says(completion({"content": "hel"}, finish_reason=said)), OK)
    assert (reply, len(server.bodies)) == (Reply("hello", "stop", Usage(5, 2)), 2)


def test_an_answer_in_a_tag_of_reasoning_is_one_unless_it_was_cut() -> None:
    message = {"content": "<thinking>The user wants"}
    assert reply_to(completion(message)).text == "<thinking>The user wants"
    cut = reply_to(completion(message, finish_reason="MAX_TOKENS"))
    assert (cut.text, cut.reasoning) == ("", "The user wants")


def test_absent_finish_reason_is_unknown() -> None:
    assert reply_to(completion(finish_reason=None)).finish_reason == "unknown"


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, Usage(3, 2, estimated=True)),  # "Say hello." has 10 characters, "hello" 5
        ({"prompt_tokens": 9}, Usage(9, 2, estimated=True)),
        ({"prompt_tokens": 9, "completion_tokens": 0}, Usage(9, 0)),
    ],
)
def test_usage_is_counted_or_estimated(usage: Body | None, read: Usage) -> None:
    assert reply_to(completion() | {"usage": usage}).usage == read


def test_logprobs_are_sent_for_and_sorted() -> None:
    entry = {
        "token": "he",
        "logprob": -0.5,
        "top_logprobs": [{"token": "a", "logprob": -2.0}, {"token": "he", "logprob": -0.5}],
    }
    reply = reply_to(completion(logprobs={"content": [entry]}), Sampling(temperature=0, top_logprobs=2))
    assert reply.logprobs == (TokenLogprob("he", -0.5, (("he", -0.5), ("a", -2.0))),)
    body = body_of(Sampling(temperature=0, top_logprobs=2))
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_what_a_server_lists_behind_the_text_is_no_position() -> None:
    def listed(*tokens: str) -> Body:
        return {"content": [{"token": token, "logprob": -0.5, "top_logprobs": []} for token in tokens]}

    asked = Sampling(temperature=0, top_logprobs=2, stop=("\n",))
    for behind in (["<|im_end|>"], ["\n"], ["\n", "</s>"], []):
        reply = reply_to(completion({"content": "hello"}, logprobs=listed("hel", "lo", *behind)), asked)
        assert [each.token for each in reply.logprobs or ()] == ["hel", "lo"]


def test_logprobs_the_server_ignored_are_none() -> None:
    assert reply_to(completion(logprobs=None), Sampling(top_logprobs=2)).logprobs is None


def test_a_nul_becomes_a_replacement_character_wherever_it_stands() -> None:
    message = {"content": "one\0two", "reasoning": "\0", "refusal": "no\0"}
    reply = reply_to(completion(message, finish_reason="st\0op") | {"model": "m\0"})
    assert (reply.text, reply.reasoning, reply.refusal) == ("one\ufffdtwo", "\ufffd", "no\ufffd")
    assert (reply.finish_reason, reply.served_by) == ("st\ufffdop", ("m\ufffd", None))
    assert Reply("one\0two", "stop").text == "one\ufffdtwo"  # of a model in this process


def test_half_a_character_becomes_a_replacement_character() -> None:
    raw = json.dumps(completion({"content": "ok \ud83d"})).encode()
    assert b"\\ud83d" in raw

    async def ask() -> str:
        async with serving(writes(raw)) as (_, model):
            return (await model.chat(ASK, GREEDY)).text

    assert asyncio.run(ask()) == "ok \ufffd"


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else []


@pytest.mark.parametrize(
    "body",
    [
        {"object": "something else"},
        ["a", "list"],
        {"choices": [{"message": {"content": [{"type": "text", "text": [[]] * 3}]}}], "deep": nested(50)},
        completion({"content": ["a", 3]}),
        completion() | {"choices": ["text"]},
    ],
)
def test_an_answer_that_is_no_completion_fails_its_call_alone(body: Any) -> None:
    async def ask() -> None:
        async with serving(says(body), OK) as (server, model):
            with pytest.raises(CallError, match="no chat completion") as caught:
                await model.chat(ASK, GREEDY)
            assert json.loads(caught.value.raw or "") == body
            assert len(server.bodies) == 1
            assert (await model.chat(ASK, GREEDY)).text == "hello"

    asyncio.run(ask())


def test_json_of_another_content_type_is_read() -> None:
    reply, _ = ask(writes(json.dumps(completion()), content_type="text/plain"))
    assert isinstance(reply, Reply)


LARGEST = 2**64 - 1


# "Say hello." and "hello" at four characters a token.
ASKED, SAID = 3, 2


def stored_reply(folder: Path, body: Any) -> tuple[Reply, tuple[int, int, bool]]:
    """The reply that a 200 answer with this body becomes in a run's store, and what the account says it has used."""

    async def twice() -> tuple[Reply, Reply]:
        async with serving(says(body)) as (server, model):
            stored = StoredChat(model, store, "evolve")
            replies = await stored.chat(ASK, GREEDY), await stored.chat(ASK, GREEDY)
            assert len(server.bodies) == 1
            return replies

    with closing(CallStore(folder / "calls.sqlite")) as store:
        first, again = asyncio.run(twice())
        assert first == again
        (spent,) = store.spent()
        assert (spent.stage, spent.calls) == ("evolve", 1)
        return again, spent[3:6]


@pytest.mark.parametrize(
    "count", [LARGEST, LARGEST + 2, 1 << 63, MOST_TOKENS + 1, -1, True, False, 2.0, "2", None, [2]]
)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_number_of_tokens_that_cannot_be_is_estimated(tmp_path: Path, name: str, count: object) -> None:
    """The other one is the server's."""
    body = completion()
    body["usage"][name] = count
    reply, spent = stored_reply(tmp_path, body)
    expected = Usage(ASKED, 2, estimated=True) if name == "prompt_tokens" else Usage(5, SAID, estimated=True)
    assert (reply.text, reply.usage) == ("hello", expected)
    assert spent == (expected.prompt_tokens, expected.completion_tokens, True)


@pytest.mark.parametrize("counts", [(0, 0), (MOST_TOKENS, 1), (5, MOST_TOKENS)])
def test_a_number_of_tokens_that_can_be_is_the_servers(tmp_path: Path, counts: tuple[int, int]) -> None:
    body = completion() | {"usage": {"prompt_tokens": counts[0], "completion_tokens": counts[1]}}
    reply, spent = stored_reply(tmp_path, body)
    assert reply.usage == Usage(*counts)
    assert spent == (*counts, False)


@pytest.mark.parametrize("usage", [None, [], "5", 5, {}, {"prompt_tokens": LARGEST, "completion_tokens": -LARGEST}])
def test_where_nothing_is_counted_all_is_estimated(tmp_path: Path, usage: object) -> None:
    reply, spent = stored_reply(tmp_path, completion() | {"usage": usage})
    assert reply.usage == Usage(ASKED, SAID, estimated=True)
    assert spent == (ASKED, SAID, True)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("stop\ud800", "stop\ufffd"),
        ("\udfff", "\ufffd"),
        (7, "7"),
        (["stop"], "['stop']"),
        ({"type": "\ud800"}, "{'type': '\\ud800'}"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_reason_that_is_no_text_is_kept_as_one(tmp_path: Path, reason: object, kept: str) -> None:
    reply, _ = stored_reply(tmp_path, completion(finish_reason=reason))
    assert (reply.text, reply.finish_reason) == ("hello", kept)


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", 1),
        ("120ms", 0.12),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("1d", 86400),
        ("30", 30),
        ("0.25", 0.25),
        (" 5S ", 5),
        ("", None),
        (None, None),
        ("soon", None),
        ("-3", 0),
        ("nan", None),
        ("inf", None),
        ("1x", None),
        ("1s and more", None),
    ],
)
def test_durations(text: str | None, value: float | None) -> None:
    assert seconds(text) == (None if value is None else pytest.approx(value))


@given(st.text())
def test_any_text_is_a_duration_or_none(text: str) -> None:
    value = seconds(text)
    assert value is None or value >= 0
