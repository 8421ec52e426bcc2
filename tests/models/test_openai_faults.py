"""What an ``openai:`` model does when the server or the way to it fails: a real server that misbehaves by script."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from evolvent.errors import CallError, ModelUnavailableError, RunError
from evolvent.models.openai import OpenAIChat, patience
from evolvent.models.protocols import Reply
from tests.models.openai_server import (
    ASK,
    GREEDY,
    OK,
    QUICK_S,
    WARM,
    Body,
    Step,
    ask,
    completion,
    error,
    hurry,
    says,
    serving,
    writes,
)
from tests.processes import slowness


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


async def cut(request: web.Request, asked: Body) -> web.StreamResponse:
    """Half a body, then the connection breaks."""
    response = web.StreamResponse(headers={"Content-Length": "500", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"mess')
    assert request.transport is not None
    request.transport.abort()
    return response


async def hang(request: web.Request, asked: Body) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError("the client waited")


async def drop(request: web.Request, asked: Body) -> web.StreamResponse:
    """The connection breaks before a word is said."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


TEMPORARY = {
    "408": error(408, "slow"),
    "409": error(409, "conflict"),
    "429": error(429, "rate limit", code="rate_limit_exceeded"),
    "500": error(500, "oops"),
    "502 html": writes("<html><body><h1>Bad gateway</h1></body></html>", 502, "text/html"),
    "503": error(503, "loading"),
    "529": error(529, "overloaded"),
    "cut in mid-body": cut,
    "dropped": drop,
    "invalid JSON": writes('{"choices": ['),
    "empty body": writes(""),
    "HTML with status 200": writes("<!doctype html><title>Login</title>", 200, "text/html"),
    "error in 200": says({"error": {"message": "upstream failed", "code": 502}}),
    "error text in 200": says({"error": "worker died"}),
    "flat error in 200": says({"object": "error", "message": "worker died", "code": 500}),
    "broken off with an error": says(completion({"content": "half a"}, finish_reason="error")),
    "error beside a choice without text": says(
        completion({"content": None}) | {"error": {"code": 429, "message": "slow down"}}
    ),
    "choices null": says({"id": None, "choices": None}),
    "no choices": says(completion() | {"choices": []}),
    "error in a list": says([{"error": {"code": 503, "message": "loading"}}], 503),
    "error in the choice": says(completion(finish_reason="error", error={"code": 502, "message": "worker died"})),
    "too deep": writes("[" * 200_000),
    "too deep to walk": writes('{"choices": ' + "[" * 900 + "]" * 900 + "}"),
}


@pytest.mark.parametrize("fault", TEMPORARY.values(), ids=TEMPORARY)
def test_temporary_fault_is_tried_again_with_the_same_body(fault: Step) -> None:
    reply, server = ask(fault, fault, OK, sampling=WARM)
    assert isinstance(reply, Reply)
    assert reply.text == "hello"
    assert server.bodies == [server.bodies[0]] * 3


def test_hung_call_times_out_and_is_tried_again() -> None:
    reply, server = ask(hang, OK, timeout_s=0.2)
    assert isinstance(reply, Reply)
    assert 0.2 <= server.times[1] - server.times[0] < 0.6 * slowness()


def test_hung_for_good_is_a_failed_call_that_names_the_time() -> None:
    failure, server = ask(hang, timeout_s=0.05)
    assert isinstance(failure, CallError)
    assert "no reply within 0.05 s" in str(failure)
    assert len(server.bodies) == patience.MAX_FAULTS


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_seconds_are_waited(status: int) -> None:
    reply, server = ask(says({"error": {"message": "wait"}}, status, Retry_After="0.3"), OK)
    assert isinstance(reply, Reply)
    assert 0.3 <= server.times[1] - server.times[0] < 0.5 * slowness()


def test_retry_after_date_is_waited_by_the_servers_own_clock() -> None:
    then = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    dates = {
        "Date": format_datetime(then, usegmt=True),
        "Retry_After": format_datetime(then + timedelta(seconds=1), True),
    }
    reply, server = ask(says({"error": {"message": "wait"}}, 429, **dates), OK)
    assert isinstance(reply, Reply)
    assert 1.0 <= server.times[1] - server.times[0] < 1.3 * slowness()


def test_retry_after_delays_only_its_own_call() -> None:
    slow = slowness()

    async def calls() -> list[float]:
        async with serving(says({"error": "wait"}, 429, Retry_After=f"{0.4 * slow}"), OK) as (_, model):
            start = time.monotonic()

            async def timed() -> float:
                await model.chat(ASK, GREEDY)
                return time.monotonic() - start

            return sorted(await asyncio.gather(*(timed() for _ in range(5))))

    spans = asyncio.run(calls())
    assert spans[3] < 0.3 * slow < 0.4 * slow <= spans[4]


def test_rate_limits_do_not_count_as_faults() -> None:
    limited = says({"error": {"message": "rate limit"}}, 429, Retry_After="0.001")
    reply, server = ask(*[limited] * (3 * patience.MAX_FAULTS), OK)
    assert isinstance(reply, Reply)
    assert len(server.bodies) == 3 * patience.MAX_FAULTS + 1


def test_faults_end_in_a_failed_call_with_the_servers_words() -> None:
    failure, server = ask(error(500, "CUDA error: device-side assert"))
    assert isinstance(failure, CallError)
    assert "HTTP 500: CUDA error: device-side assert" in str(failure)
    assert len(server.bodies) == patience.MAX_FAULTS


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_nobody_listening_is_an_unavailable_model() -> None:
    port = free_port()

    async def call() -> None:
        model = OpenAIChat("m", uri="openai:m", base_url=f"http://127.0.0.1:{port}/v1", api_key=None)
        try:
            with pytest.raises(
                ModelUnavailableError, match=f"no server answers at http://127.0.0.1:{port}/v1"
            ) as caught:
                await model.chat(ASK, GREEDY)
        finally:
            await model.close()
        assert "Start the server" in caught.value.fix

    asyncio.run(call())


def test_unknown_host_is_an_unavailable_model() -> None:
    async def call() -> None:
        model = OpenAIChat("m", uri="openai:m", base_url="http://no-such-host.invalid/v1", api_key=None)
        try:
            with pytest.raises(ModelUnavailableError, match=r"no-such-host\.invalid"):
                await model.chat(ASK, GREEDY)
        finally:
            await model.close()

    asyncio.run(call())


def test_server_that_went_away_stops_the_run_and_every_call_that_waits() -> None:
    async def calls() -> None:
        async with serving(OK, says({"error": "wait"}, 503, Retry_After="0.5"), OK) as (server, model):
            await model.chat(ASK, GREEDY)
            waiting = asyncio.create_task(model.chat(ASK, GREEDY))
            while len(server.bodies) < 2:
                await asyncio.sleep(0.005)
            there, model._pool.servers[0].url = (
                model._pool.servers[0].url,
                f"http://127.0.0.1:{free_port()}/v1/chat/completions",
            )
            with pytest.raises(RunError, match="stopped answering") as caught:
                await model.chat(ASK, GREEDY)
            assert "What it answered is stored" in caught.value.fix
            assert caught.value.exit_status == 1
            model._pool.servers[0].url = there
            with pytest.raises(RunError, match="stopped answering"):
                await waiting
            assert len(server.bodies) == 2  # what one call found out, the other did not try again
            await model.close()
            assert (await model.chat(ASK, GREEDY)).text == "hello"

    asyncio.run(calls())


def test_server_that_dies_with_a_call_stops_the_run() -> None:
    async def calls() -> None:
        async def die(request: web.Request, asked: Body) -> web.StreamResponse:
            model._pool.servers[0].url = f"http://127.0.0.1:{free_port()}/v1/chat/completions"
            return await drop(request, asked)

        async with serving(OK, die) as (_, model):
            await model.chat(ASK, GREEDY)
            with pytest.raises(RunError, match="stopped answering"):
                await model.chat(ASK, GREEDY)

    asyncio.run(calls())


def test_call_without_a_connection_while_the_server_lives_is_tried_again() -> None:
    async def calls() -> str:
        async with serving(OK) as (_, model):
            there, model._pool.servers[0].url = (
                model._pool.servers[0].url,
                f"http://127.0.0.1:{free_port()}/v1/chat/completions",
            )
            task = asyncio.create_task(model.chat(ASK, GREEDY))
            await asyncio.sleep(0.005)
            model._pool.servers[0].url = there
            return (await task).text

    assert asyncio.run(calls()) == "hello"


def test_server_that_starts_again_loses_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AWAY_S", 60)

    async def calls() -> None:
        async with serving(OK) as (server, model):
            await model.chat(ASK, GREEDY)
            there, model._pool.servers[0].url = (
                model._pool.servers[0].url,
                f"http://127.0.0.1:{free_port()}/v1/chat/completions",
            )
            waiting = [asyncio.create_task(model.chat(ASK, GREEDY)) for _ in range(20)]
            await asyncio.sleep(20 * QUICK_S)  # many more tries than six
            model._pool.servers[0].url = there
            assert [reply.text for reply in await asyncio.gather(*waiting)] == ["hello"] * 20
            assert len(server.bodies) == 21

    asyncio.run(calls())


def test_slow_drip_is_bounded_by_the_time_out() -> None:
    async def drip(request: web.Request, asked: Body) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.01)
        return response

    reply, server = ask(drip, OK, timeout_s=0.2)
    assert isinstance(reply, Reply)
    assert 0.2 <= server.times[1] - server.times[0] < 1 * slowness()


def test_a_date_that_no_clock_shows_is_no_wait() -> None:
    reply, _ = ask(says({"error": "busy"}, 503, Retry_After="21 Oct 2015 07:2879993999"), OK)
    assert isinstance(reply, Reply)


def test_waiting_calls_hold_no_place() -> None:
    """With one request at a time, the calls behind a refused one are answered while that one waits."""

    async def calls() -> list[int]:
        async with serving(says({"error": "wait"}, 429, Retry_After="0.5"), OK, concurrency=1) as (_, model):
            done: list[int] = []

            async def numbered(n: int) -> None:
                await model.chat(ASK, GREEDY)
                done.append(n)

            await asyncio.gather(*(numbered(n) for n in range(5)))
            return done

    assert asyncio.run(calls()) == [1, 2, 3, 4, 0]


def test_cancelled_call_leaves_the_others_alone() -> None:
    async def calls() -> str:
        async with serving(hang, OK) as (_, model):
            stuck = asyncio.create_task(model.chat(ASK, GREEDY))
            await asyncio.sleep(0.05)
            stuck.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stuck
            return (await model.chat(ASK, GREEDY)).text

    assert asyncio.run(calls()) == "hello"
