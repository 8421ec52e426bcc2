"""What ends one call and what ends the run: refusals, rate limits and lost connections of one call or of all."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from evolvent.errors import CallError, ModelUnavailableError, RunError
from evolvent.models.openai import patience
from evolvent.models.openai.errors import Fault, Transient
from evolvent.models.protocols import Reply
from tests.models.openai_server import (
    ASK,
    GREEDY,
    KEY,
    OK,
    QUICK_S,
    Body,
    Server,
    Step,
    ask,
    completion,
    error,
    hurry,
    says,
    serving,
    writes,
)

BLOCKED = [{"role": "user", "content": "DROP TABLE seeds"}]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def firewall(status: int = 403) -> Step:
    """A server behind a firewall that refuses one kind of prompt."""

    async def step(request: web.Request, asked: Body) -> web.StreamResponse:
        if "DROP TABLE" in asked["messages"][0]["content"]:
            page = "<html><title>Attention Required!</title><h1>Sorry, you have been blocked</h1></html>"
            return web.Response(text=page, status=status, content_type="text/html")
        return web.json_response(completion())

    return step


def ask_often(*steps: Step, calls: int = 8, **options: Any) -> tuple[list[Reply | BaseException], Server]:
    """As many calls at once against this script."""

    async def run() -> tuple[list[Reply | BaseException], Server]:
        async with serving(*steps, **options) as (server, model):
            found = await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(calls)), return_exceptions=True)
            return found, server

    return asyncio.run(run())


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 302])
@pytest.mark.parametrize("concurrency", [1, 8, None])
def test_a_prompt_that_a_firewall_refuses_fails_alone(status: int, concurrency: int | None) -> None:
    async def calls() -> None:
        async with serving(firewall(status), concurrency=concurrency) as (_, model):
            prompts = [BLOCKED, *[ASK] * 30]
            blocked, *others = await asyncio.gather(
                *(model.chat(prompt, GREEDY) for prompt in prompts), return_exceptions=True
            )
            assert isinstance(blocked, CallError)
            assert f"HTTP {status}" in str(blocked)
            assert "firewall" in blocked.fix
            assert all(isinstance(other, Reply) for other in others)
            with pytest.raises(CallError, match=f"HTTP {status}"):  # the last records of a run
                await model.chat(BLOCKED, GREEDY)

    asyncio.run(calls())


def test_many_blocked_prompts_at_the_end_of_a_run_fail_alone() -> None:
    async def calls() -> None:
        async with serving(firewall()) as (_, model):
            await model.chat(ASK, GREEDY)
            found = await asyncio.gather(*(model.chat(BLOCKED, GREEDY) for _ in range(20)), return_exceptions=True)
            assert all(isinstance(failure, CallError) for failure in found)

    asyncio.run(calls())


def test_blocked_prompts_alone_do_not_stop_a_server_that_lists_the_model() -> None:
    """A run that goes on with nothing left but what the firewall refuses."""
    found, server = ask_often(error(403, "blocked"), models=("tiny",), api_key=KEY)
    assert all(isinstance(failure, CallError) for failure in found)
    assert server.listings <= 20


def test_the_only_record_left_is_blocked_and_fails() -> None:
    failure, server = ask(error(403, "blocked"))
    assert isinstance(failure, CallError)
    assert "blocked" in str(failure)
    assert len(server.bodies) == patience.MAX_FAULTS


@pytest.mark.parametrize("status", [401, 403, 404, 405, 302])
def test_a_stray_refusal_is_survived(status: int) -> None:
    reply, _ = ask(error(status, "starting"), OK)
    assert isinstance(reply, Reply)


def test_a_proxy_that_starts_anew_in_mid_run_loses_no_call() -> None:
    async def calls() -> None:
        async with serving(OK, *[error(404, "no route")] * 40, OK) as (_, model):
            await model.chat(ASK, GREEDY)
            assert len(await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(20)))) == 20

    asyncio.run(calls())


@pytest.mark.parametrize("concurrency", [1, 8])
def test_no_key_stops_within_the_first_calls_and_names_the_variable(
    concurrency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if concurrency > 1:
        monkeypatch.setattr(patience, "FIRST_WAIT_S", 3.0)  # nobody comes back before all have heard
        monkeypatch.setattr(patience, "LONGEST_WAIT_S", 3.0)
    found, server = ask_often(
        error(401, "missing credentials"), calls=50, api_key_env="MY_KEY", concurrency=concurrency
    )
    assert all(isinstance(failure, ModelUnavailableError) for failure in found)
    assert isinstance(found[0], ModelUnavailableError)
    assert "MY_KEY holds no key" in found[0].fix
    assert "missing credentials" in found[0].message
    assert len(server.bodies) <= (8 if concurrency == 8 else 20)  # one at a time, each tries again first


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_key_is_said_without_showing_it(status: int) -> None:
    found, _ = ask_often(error(status, f"Incorrect API key provided: {KEY}"), api_key=KEY)
    assert isinstance(found[0], ModelUnavailableError)
    assert "OPENAI_API_KEY was not accepted" in found[0].fix
    assert "Incorrect API key provided: [key]" in str(found[0])


@pytest.mark.parametrize("status", [404, 405])
def test_wrong_path_points_to_the_base_url(status: int) -> None:
    found, server = ask_often(writes("<html><h1>Not Found</h1></html>", status, "text/html"))
    assert isinstance(found[0], ModelUnavailableError)
    assert "usually ends in /v1" in found[0].fix
    assert f"{server.base_url}/chat/completions" in found[0].fix
    assert found[0].message.endswith(f"HTTP {status}: Not Found")


def test_redirect_is_told_and_not_followed_with_the_key() -> None:
    found, server = ask_often(says({}, 307, Location="/v1/chat/completions"), api_key=KEY)
    assert isinstance(found[0], ModelUnavailableError)
    assert "redirects to /v1/chat/completions" in str(found[0])
    assert len(server.bodies) < 8 * patience.MAX_FAULTS


def test_a_key_that_is_taken_back_stops_the_run_as_no_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "REFUSED_S", 2 * QUICK_S)

    async def calls() -> None:
        async with serving(OK, error(401, "key revoked"), api_key=KEY) as (server, model):
            await model.chat(ASK, GREEDY)
            found = await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(8)), return_exceptions=True)
            assert all(isinstance(failure, RunError) and "key revoked" in str(failure) for failure in found)
            assert len(server.bodies) < 8 * patience.MAX_FAULTS

    asyncio.run(calls())


def test_a_daily_limit_stops_the_run_and_says_how_long() -> None:
    async def calls() -> None:
        daily = says({"error": {"message": "daily limit reached"}}, 429, Retry_After="3600")
        async with serving(OK, daily) as (server, model):
            await model.chat(ASK, GREEDY)
            with pytest.raises(RunError, match="asks to wait 1 h: HTTP 429: daily limit reached") as caught:
                await model.chat(ASK, GREEDY)
            assert "What is answered is stored; the same command goes on" in caught.value.fix
            assert caught.value.exit_status == 1
            with pytest.raises(RunError, match="asks to wait 1 h"):
                await model.chat(ASK, GREEDY)
            assert len(server.bodies) == 2

    asyncio.run(calls())


def test_rate_limits_that_let_nobody_through_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.3)
    monkeypatch.setattr(patience, "LEEWAY_S", 0.0)

    async def calls() -> None:
        async with serving(OK, error(429, "slow down"), timeout_s=0.1) as (_, model):
            await model.chat(ASK, GREEDY)
            with pytest.raises(RunError, match="has answered nobody"):
                await model.chat(ASK, GREEDY)

    asyncio.run(calls())


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.LIMITED])
def test_one_calls_bad_luck_ends_nothing_while_others_are_answered(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that do not come about, or a slow rate limit that lets others through, three times as long as is
    waited for a server that answers nobody."""
    if fault is Fault.LIMITED:
        monkeypatch.setattr(patience, "PATIENCE_S", patience.AWAY_S)
        monkeypatch.setattr(patience, "LEEWAY_S", -2 * 600.0)

    async def calls() -> str:
        async with serving(OK) as (_, model):
            post, since = model._post, time.monotonic()

            async def unlucky(server: Any, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
                if b"DROP" in data and time.monotonic() < since + 3 * patience.AWAY_S:
                    await model.chat(ASK, GREEDY)  # another one is answered
                    raise Transient("not now", fault)
                return await post(server, data)

            model._post = unlucky  # type: ignore[method-assign]
            return (await model.chat(BLOCKED, GREEDY)).text

    assert asyncio.run(calls()) == "hello"


def test_a_server_that_is_away_for_several_calls_stops_the_run() -> None:
    async def calls(count: int) -> list[Reply | BaseException]:
        async with serving(OK, error(503, "maintenance")) as (_, model):
            await model.chat(ASK, GREEDY)
            return await asyncio.gather(*(model.chat(ASK, GREEDY) for _ in range(count)), return_exceptions=True)

    assert {type(failure) for failure in asyncio.run(calls(4))} == {CallError}
    many = asyncio.run(calls(20))
    assert [type(failure) for failure in many].count(CallError) == 4
    assert [type(failure) for failure in many].count(RunError) == 16
