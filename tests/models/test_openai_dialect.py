"""Request fields that a server refuses: left out or renamed from then on, and said once."""

import asyncio

import pytest
from aiohttp import web

from evolvent.errors import CallError
from tests.models.openai_server import ASK, GREEDY, WARM, Body, Step, ask, completion, serving


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


@pytest.mark.parametrize("name", ["seed", "temperature", "top_p"])
def test_refused_parameter_is_left_out_and_said_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def calls() -> list[Body]:
        async with serving(refusing(name)) as (server, model):
            await model.chat(ASK, WARM)
            await model.chat(ASK, WARM)
            return server.bodies

    assert [name in body for body in asyncio.run(calls())] == [True, False, False]
    assert [r.message for r in caplog.records if r.name == "evolvent" and f"refuses {name}" in r.message] != []
    assert len(caplog.records) == 1


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
