"""Requests and replies of an ``openai:`` model, against a real HTTP server."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from evolvent.errors import CallError, InputError
from evolvent.models.openai import OpenAIChat
from evolvent.models.protocols import ChatModel, Reply, Sampling, TokenLogprob, Usage, until_kept
from tests.models.openai_server import ASK, GREEDY, OK, WARM, Body, completion, says, serving, writes


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


def test_request_holds_what_the_sampling_says() -> None:
    assert body_of(WARM) == {
        "model": "tiny", "messages": ASK, "temperature": 0.7, "top_p": 0.9, "seed": 7, "max_tokens": 16,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sampling", "absent"),
    [
        (Sampling(temperature=0, top_p=0.5, seed=3), {"top_p", "seed", "logprobs", "top_logprobs"}),
        (Sampling(temperature=1, top_p=1, seed=None), {"top_p", "seed"}),
    ],
)
def test_what_decides_nothing_is_not_sent(sampling: Sampling, absent: set[str]) -> None:
    assert not absent & body_of(sampling).keys()


def test_extra_body_is_merged_last() -> None:
    extra = {"temperature": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    body = body_of(WARM, extra_body=extra)
    assert (body["temperature"], body["chat_template_kwargs"]) == (0.1, {"enable_thinking": False})


def test_extra_max_completion_tokens_replaces_max_tokens() -> None:
    body = body_of(WARM, extra_body={"max_completion_tokens": 99})
    assert body["max_completion_tokens"] == 99
    assert "max_tokens" not in body


def test_key_is_sent_as_bearer_token_and_none_without() -> None:
    async def header(key: str | None) -> str | None:
        async with serving(OK, api_key=key) as (server, model):
            await model.chat(ASK, GREEDY)
            value: str | None = server.headers[0].get("Authorization")
            return value

    assert asyncio.run(header("sk-abc\n")) == "Bearer sk-abc"
    assert asyncio.run(header(None)) is None


def test_calls_share_connections_and_run_at_once() -> None:
    peers: set[object] = set()
    together = asyncio.Event()

    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        if len(peers) == 130:
            together.set()
        await asyncio.wait_for(together.wait(), 5)
        return web.json_response(completion())

    async def ask() -> None:
        async with serving(step, concurrency=130) as (server, model):
            await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(130)))
            for _ in range(20):
                await model.chat(ASK, GREEDY)
            assert len(server.bodies) == 150

    asyncio.run(ask())
    # more than aiohttp's own bound of 100, and no more than the calls at once: the later twenty took over connections
    assert len(peers) == 130


def test_model_is_made_without_a_loop_and_opened_again_in_another() -> None:
    async def ask(model: OpenAIChat | None) -> tuple[OpenAIChat, str]:
        async with serving(OK) as (server, other):
            model = model or other
            model._url = f"{server.base_url}/chat/completions"
            text = (await model.chat(ASK, GREEDY)).text
            await model.close()
            return model, text

    model, _ = asyncio.run(ask(None))
    assert asyncio.run(ask(model))[1] == "hello"


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


def test_logprobs_the_server_ignored_are_none() -> None:
    assert reply_to(completion(logprobs=None), Sampling(top_logprobs=2)).logprobs is None


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
        completion() | {"choices": []},
        completion() | {"choices": None},
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


def test_lone_surrogate_in_the_conversation_is_a_clear_error() -> None:
    async def ask() -> None:
        async with serving(OK) as (_, model):
            with pytest.raises(CallError, match="cannot be written as JSON"):
                await model.chat([{"role": "user", "content": "\ud800"}], GREEDY)

    asyncio.run(ask())


def test_identity_names_the_server_and_nothing_of_the_transport() -> None:
    def identity(**changed: Any) -> str:
        options: dict[str, Any] = {"uri": "openai:m", "base_url": "http://h/v1", "api_key": "sk-0123456789abcdef"}
        return OpenAIChat("m", **(options | changed)).identity

    assert identity() == '{"backend":"openai","base_url":"http://h/v1","extra_body":{},"model":"m"}'
    assert identity() == identity(api_key=None, timeout_s=3, concurrency=9, base_url="http://h/v1/", extra_body=None)
    assert identity(extra_body={"a": 1, "b": {"c": 2, "d": 3}}) == identity(extra_body={"b": {"d": 3, "c": 2}, "a": 1})
    assert len({identity(), identity(base_url="http://i/v1"), identity(extra_body={"top_k": 3})}) == 3


def test_model_satisfies_the_protocol_and_hides_its_key() -> None:
    model: ChatModel = OpenAIChat("m", uri="openai:m", base_url="http://h/v1", api_key="sk-0123456789abcdef")
    assert "0123456789" not in repr(model) + model.identity + model.uri
    assert repr(model) == "OpenAIChat('openai:m')"


def test_more_calls_are_open_than_requests_are_sent() -> None:
    def open_calls(concurrency: int | None) -> int:
        return OpenAIChat(
            "m", uri="openai:m", base_url="http://h/v1", api_key=None, concurrency=concurrency
        ).concurrency

    assert (open_calls(50), open_calls(None)) == (150, 1024)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"base_url": "http://ann:secret@h/v1"}, "more than an address"),
        ({"base_url": "http://h/v1?key=secret"}, "more than an address"),
        ({"base_url": "ftp://h/v1"}, "not an http address"),
        ({"base_url": "http://h:port/v1"}, "not an http address"),
        ({"api_key": "sec\nret"}, "characters that no key has"),
        ({"extra_body": {"stream": True}}, "stream"),
        ({"extra_body": {"n": 3}}, "several choices"),
        ({"extra_body": {"stop": {1, 2}}}, "not JSON"),
        ({"timeout_s": 0.0}, "time-out is 0 s"),
        ({"timeout_s": -1.0}, "time-out is -1 s"),
        ({"timeout_s": float("nan")}, "time-out is nan s"),
        ({"timeout_s": float("inf")}, "time-out is inf s"),
    ],
)
def test_what_cannot_work_is_told_at_once(changed: dict[str, Any], words: str) -> None:
    options: dict[str, Any] = {"uri": "openai:m", "base_url": "http://h/v1", "api_key": None}
    with pytest.raises(InputError, match=words) as caught:
        OpenAIChat("m", **(options | changed))
    assert "secret" not in str(caught.value)
    assert "sec\nret" not in str(caught.value)


def test_a_blank_reply_that_is_given_up_gives_back_its_place() -> None:
    """A reply that its caller keeps holds its place until it is kept; one that is never handed out must not."""

    async def call() -> str:
        async with serving(says(completion({"content": ""})), OK, concurrency=1) as (server, model):
            leaving: list[Callable[[], None]] = []
            until_kept.set(leaving)
            reply = await asyncio.wait_for(model.chat(ASK, GREEDY), 5)
            assert (len(server.bodies), len(leaving), model._gate.in_flight) == (2, 1, 1)
            leaving[0]()
            assert model._gate.in_flight == 0
            return reply.text

    assert asyncio.run(call()) == "hello"
