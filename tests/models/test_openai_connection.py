"""Open files: as many as there are to be requests at once, or a clear word."""

import asyncio
import errno
import resource
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.models.openai import OpenAIChat
from tests.models.openai_server import ASK, GREEDY, OK, serving


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Limits of this process that the test may set, and not this process's own."""
    held = {"files": (256, 4096)}

    def set_to(_: int, pair: tuple[int, int]) -> None:
        held["files"] = pair

    monkeypatch.setattr(resource, "getrlimit", lambda _: held["files"])
    monkeypatch.setattr(resource, "setrlimit", set_to)
    return held


def model(concurrency: int | None) -> OpenAIChat:
    return OpenAIChat("m", uri="openai:m", base_url="http://h/v1", api_key=None, concurrency=concurrency)


def test_soft_limit_is_raised_as_far_as_it_may(limits: dict[str, tuple[int, int]]) -> None:
    model(1000)
    assert limits["files"] == (4096, 4096)


def test_unlimited_stays_so(limits: dict[str, tuple[int, int]]) -> None:
    limits["files"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    model(1000)
    assert limits["files"][0] == resource.RLIM_INFINITY


def test_enough_is_left_alone(limits: dict[str, tuple[int, int]]) -> None:
    limits["files"] = (100_000, 200_000)
    model(None)
    assert limits["files"] == (100_000, 200_000)


def test_hard_limit_that_is_too_low_is_an_input_error_that_says_what_fits(
    limits: dict[str, tuple[int, int]],
) -> None:
    with pytest.raises(InputError, match="5,000 requests at once need 5,128 open files, and 4,096 are") as caught:
        model(5000)
    assert "Lower --concurrency to 3,968 or less" in caught.value.fix


def test_a_full_table_of_open_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def call() -> None:
        async with serving(OK) as (_, model):
            monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", full)
            with pytest.raises(InputError, match="Too many open files") as caught:
                await model.chat(ASK, GREEDY)
            assert "ulimit -n" in caught.value.fix

    asyncio.run(call())
