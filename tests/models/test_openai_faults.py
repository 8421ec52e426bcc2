"""What an ``openai:`` model does when the server or the way to it fails: a real server that misbehaves by script."""

import asyncio
import contextlib
import gzip
import json
import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from evolvent.errors import CallError, ModelUnavailableError, RunError
from evolvent.models.openai import OpenAIChat, answers, connection, retries
from evolvent.models.protocols import Reply
from tests.models.openai_server import (
    ASK,
    GREEDY,
    OK,
    WARM,
    Body,
    Step,
    ask,
    completion,
    error,
    says,
    serving,
    writes,
)
from tests.processes import slowness

KEY = "sk-proj-0123456789abcdefghij"
QUICK_S = 0.02


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of at most 20 ms where the server names none."""
    monkeypatch.setattr(retries, "FIRST_WAIT_S", QUICK_S)
    monkeypatch.setattr(retries, "LONGEST_WAIT_S", QUICK_S)
    monkeypatch.setattr(retries, "LONGEST_AWAY_WAIT_S", QUICK_S)
    monkeypatch.setattr(retries, "AWAY_S", 10 * QUICK_S)


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
    assert len(server.bodies) == retries.MAX_FAULTS


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
    reply, server = ask(*[limited] * (3 * retries.MAX_FAULTS), OK)
    assert isinstance(reply, Reply)
    assert len(server.bodies) == 3 * retries.MAX_FAULTS + 1


def test_faults_end_in_a_failed_call_with_the_servers_words() -> None:
    failure, server = ask(error(500, "CUDA error: device-side assert"))
    assert isinstance(failure, CallError)
    assert "HTTP 500: CUDA error: device-side assert" in str(failure)
    assert len(server.bodies) == retries.MAX_FAULTS


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
            there, model._url = model._url, f"http://127.0.0.1:{free_port()}/v1/chat/completions"
            with pytest.raises(RunError, match="stopped answering") as caught:
                await model.chat(ASK, GREEDY)
            assert "What it answered is stored" in caught.value.fix
            assert caught.value.exit_status == 1
            model._url = there
            with pytest.raises(RunError, match="stopped answering"):
                await waiting
            assert len(server.bodies) == 2  # what one call found out, the other did not try again
            await model.close()
            assert (await model.chat(ASK, GREEDY)).text == "hello"

    asyncio.run(calls())


def test_server_that_dies_with_a_call_stops_the_run() -> None:
    async def calls() -> None:
        async def die(request: web.Request, asked: Body) -> web.StreamResponse:
            model._url = f"http://127.0.0.1:{free_port()}/v1/chat/completions"
            return await drop(request, asked)

        async with serving(OK, die) as (_, model):
            await model.chat(ASK, GREEDY)
            with pytest.raises(RunError, match="stopped answering"):
                await model.chat(ASK, GREEDY)

    asyncio.run(calls())


def test_call_without_a_connection_while_the_server_lives_is_tried_again() -> None:
    async def calls() -> str:
        async with serving(OK) as (_, model):
            there, model._url = model._url, f"http://127.0.0.1:{free_port()}/v1/chat/completions"
            task = asyncio.create_task(model.chat(ASK, GREEDY))
            await asyncio.sleep(0.005)
            model._url = there
            return (await task).text

    assert asyncio.run(calls()) == "hello"


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
    "refusal", [error(429, "You exceeded your quota", code="insufficient_quota"), error(402, "Insufficient balance")]
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


def test_server_that_starts_again_loses_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "AWAY_S", 60)

    async def calls() -> None:
        async with serving(OK) as (server, model):
            await model.chat(ASK, GREEDY)
            there, model._url = model._url, f"http://127.0.0.1:{free_port()}/v1/chat/completions"
            waiting = [asyncio.create_task(model.chat(ASK, GREEDY)) for _ in range(20)]
            await asyncio.sleep(20 * QUICK_S)  # many more tries than six
            model._url = there
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


def test_an_endless_reply_is_cut_off_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_BODY", 1 << 20)
    sent = 0

    async def endless(request: web.Request, asked: Body) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 26:
                await response.write(b" " * 65_536)
                sent += 65_536
        return response

    reply, server = ask(endless, OK)
    assert isinstance(reply, Reply)
    assert sent < 1 << 25
    assert len(server.bodies) == 2


def test_a_small_reply_that_unpacks_to_an_endless_one_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_BODY", 1 << 20)
    packed = gzip.compress(b" " * (1 << 24))

    async def bomb(request: web.Request, asked: Body) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    failure, _ = ask(bomb)
    assert isinstance(failure, CallError)
    assert "more than 1,048,576 bytes" in str(failure)


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

    monkeypatch.setattr(answers, "read_reply", bug)
    failure, server = ask(OK)
    assert isinstance(failure, CallError)
    assert "ZeroDivisionError: strange" in str(failure)
    assert json.loads(failure.raw or "") == completion()
    assert len(server.bodies) == retries.MAX_FAULTS


def test_a_date_that_no_clock_shows_is_no_wait() -> None:
    reply, _ = ask(says({"error": "busy"}, 503, Retry_After="21 Oct 2015 07:2879993999"), OK)
    assert isinstance(reply, Reply)


def test_ten_megabytes_are_read_whole() -> None:
    reply, _ = ask(says(completion({"content": "x" * 10_000_000})))
    assert isinstance(reply, Reply)
    assert len(reply.text) == 10_000_000


def test_json_of_another_content_type_is_read() -> None:
    reply, _ = ask(writes(json.dumps(completion()), content_type="text/plain"))
    assert isinstance(reply, Reply)


def test_second_copy_of_a_reply_answers_no_other_call() -> None:
    """A copy that comes while the connection lies in the pool would be read as the answer to the next request."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ength" in line)
            asked = json.loads(await reader.readexactly(length))["messages"][0]["content"]
            body = json.dumps(completion({"content": asked})).encode()
            reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            writer.write(reply)
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(reply)
            copied.set()
        writer.close()

    async def calls() -> None:
        server = await asyncio.start_server(twice, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        model = OpenAIChat("m", uri="openai:m", base_url=f"http://127.0.0.1:{port}/v1", api_key=None)
        try:
            for n in range(3):
                copied.clear()
                reply = await model.chat([{"role": "user", "content": f"number {n}"}], GREEDY)
                assert reply.text == f"number {n}"
                await copied.wait()
                for _ in range(10):  # the loop reads what has come
                    await asyncio.sleep(0)
        finally:
            await model.close()
            server.close()

    copied = asyncio.Event()
    asyncio.run(calls())


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


def test_short_key_is_cut_out_too() -> None:
    failure, _ = ask(error(400, "bad header Bearer local-key."), api_key="local-key")
    assert str(failure).endswith("bad header Bearer [key].")


def test_long_error_is_cut() -> None:
    failure, _ = ask(error(400, "x" * 100_000))
    assert len(str(failure)) < 700
    assert "100,000 characters" in str(failure)


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
