"""An ``openai:`` model as its callers know it, against a real HTTP server."""

import asyncio
import gc
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from evolvent.errors import CallError, InputError
from evolvent.models.openai import OpenAIChat
from evolvent.models.openai.wire import LOGPROBS
from evolvent.models.protocols import ChatModel, Reply, Sampling, Usage, until_kept
from tests.models.openai_server import ASK, GREEDY, OK, WARM, Body, Step, ask, completion, says, serving
from tests.processes import LONG_S


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
        await asyncio.wait_for(together.wait(), LONG_S)
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
            model._pool.servers[0].url = f"{server.base_url}/chat/completions"
            text = (await model.chat(ASK, GREEDY)).text
            await model.close()
            return model, text

    model, _ = asyncio.run(ask(None))
    assert asyncio.run(ask(model))[1] == "hello"


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
            reply = await asyncio.wait_for(model.chat(ASK, GREEDY), LONG_S)
            assert (len(server.bodies), len(leaving), model._gate.in_flight) == (2, 1, 1)
            leaving[0]()
            assert model._gate.in_flight == 0
            return reply.text

    assert asyncio.run(call()) == "hello"


BLANK = completion({"role": "assistant", "content": None})


@pytest.mark.parametrize(
    ("steps", "sampling", "text", "requests"),
    [
        ([BLANK], GREEDY, "hello", 2),
        ([BLANK, BLANK], GREEDY, "hello", 3),
        ([BLANK, BLANK, BLANK], GREEDY, "", 3),  # it stays blank: that is the reply
        ([BLANK], Sampling(temperature=0.7, seed=1), "", 1),  # another seed may draw something: its caller's business
        ([completion({"content": None, "refusal": "No."})], GREEDY, "", 1),
        ([completion({"content": None, "reasoning_content": "Hm."})], GREEDY, "", 1),
        ([completion({"content": None}, finish_reason="content_filter")], GREEDY, "", 1),
    ],
)
def test_a_blank_reply(steps: list[dict[str, object]], sampling: Sampling, text: str, requests: int) -> None:
    reply, server = ask(*(says(step) for step in steps), OK, sampling=sampling)
    assert isinstance(reply, Reply)
    assert (reply.text, len(server.bodies)) == (text, requests)
    assert all(body == server.bodies[0] for body in server.bodies)
    assert reply.usage == Usage(5 * requests, 2 * requests)  # what was given up is paid, too


def test_a_second_loop_needs_no_close_before() -> None:
    """asyncio.run twice over one model: connections, locks and times of the first loop are of no use in the second."""
    chat = OpenAIChat("m", uri="openai:m", base_url="http://h/v1", api_key=None, concurrency=1)

    async def call() -> str:
        async with serving(OK) as (server, _):
            chat._pool.servers[0].url = f"{server.base_url}/chat/completions"
            return (await asyncio.gather(*(chat.chat(ASK, GREEDY) for _ in range(5))))[0].text

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the session that was left open
        for _ in range(3):
            assert asyncio.run(call()) == "hello"
        chat._session = None
        gc.collect()


def test_requests_at_once_are_as_many_as_asked_for() -> None:
    most = 0

    async def calls() -> None:
        now = 0

        async def step(request: web.Request, asked: Body) -> web.StreamResponse:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            return web.json_response(completion())

        async with serving(step, concurrency=3) as (_, model):
            await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(12)))

    asyncio.run(calls())
    assert most == 3


def refusing(*names: str, wants: str = "") -> Step:
    """A server that refuses these fields one at a time, and max_tokens if it wants another name."""

    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        if wants and "max_tokens" in asked:
            words = f"Unsupported parameter: 'max_tokens' is not supported with this model. Use '{wants}' instead."
            body = {"error": {"message": words, "param": "max_tokens", "code": "unsupported_parameter"}}
            return web.json_response(body, status=400)
        for name in names:
            if name in asked:
                body = {"error": {"message": f"{name} is not supported", "param": name, "code": "unsupported_value"}}
                return web.json_response(body, status=400)
        await asyncio.sleep(0.02)
        return web.json_response(completion())

    return step


def test_max_completion_tokens_is_used_once_it_was_asked_for() -> None:
    async def calls() -> list[Body]:
        async with serving(refusing(wants="max_completion_tokens")) as (server, model):
            await model.chat(ASK, GREEDY)
            await model.chat(ASK, GREEDY)
            return server.bodies

    bodies = asyncio.run(calls())
    assert [("max_tokens" in b, b.get("max_completion_tokens")) for b in bodies] == [
        (True, None),
        (False, 16),
        (False, 16),
    ]


@pytest.mark.parametrize("name", ["seed", "temperature", "top_p", "stop"])
def test_refused_parameter_is_left_out_and_said_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def calls() -> list[Body]:
        async with serving(refusing(name)) as (server, model):
            await model.chat(ASK, replace(WARM, stop=("###",)))
            await model.chat(ASK, replace(WARM, stop=("###",)))
            return server.bodies

    assert [name in body for body in asyncio.run(calls())] == [True, False, False]
    assert [r.message for r in caplog.records if r.name == "evolvent" and f"refuses {name}" in r.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["logprobs", "top_logprobs"])
@pytest.mark.parametrize("words", ["{} is not supported", "Invalid value for '{}': must be at most 5"])
def test_a_server_without_log_probabilities_is_asked_for_none(
    name: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        if name in asked:
            return web.json_response({"error": {"message": words.format(name)}}, status=400)
        return web.json_response(completion())

    async def calls() -> tuple[list[Body], list[Reply]]:
        async with serving(step) as (server, model):
            replies = [await model.chat(ASK, replace(GREEDY, top_logprobs=20)) for _ in range(2)]
            return server.bodies, replies

    bodies, replies = asyncio.run(calls())
    assert [sum(name in body for name in LOGPROBS) for body in bodies] == [2, 0, 0]
    assert [(reply.text, reply.logprobs) for reply in replies] == [("hello", None)] * 2
    assert [f"refuses {name}" in record.message for record in caplog.records] == [True]


def test_calls_at_once_learn_together(caplog: pytest.LogCaptureFixture) -> None:
    async def calls() -> list[Body]:
        async with serving(refusing("seed", "top_p", "temperature", wants="max_completion_tokens")) as (server, model):
            replies = await asyncio.gather(*(model.chat(ASK, WARM) for _ in range(30)))
            assert {r.text for r in replies} == {"hello"}
            return server.bodies

    # Each call is refused once; one of them asks three times more for what else is refused, then all are answered.
    assert len(asyncio.run(calls())) == 30 + 3 + 30
    assert len(caplog.records) == 3


def test_refused_extra_field_is_the_users_own(caplog: pytest.LogCaptureFixture) -> None:
    failure, server = ask(refusing("seed"), sampling=WARM, extra_body={"seed": 3})
    assert isinstance(failure, CallError)
    assert "take it out of --extra-body" in failure.fix
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_that_only_quotes_a_field_changes_nothing_for_later_calls(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what is accepted without the field was a refusal of it."""

    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        if "banned" in asked["messages"][0]["content"]:
            words = "Invalid prompt, not allowed: set 'seed' and 'temperature' to banned values"
            return web.json_response({"error": {"message": words}}, status=status)
        return web.json_response(completion())

    async def calls() -> list[Body]:
        async with serving(step) as (server, model):
            with pytest.raises(CallError, match="Invalid prompt"):
                await model.chat([{"role": "user", "content": "banned"}], WARM)
            await model.chat(ASK, WARM)
            return server.bodies

    bodies = asyncio.run(calls())
    assert {"seed", "temperature", "top_p", "max_tokens"} <= bodies[-1].keys()
    assert len(bodies) == 4
    assert not caplog.records
