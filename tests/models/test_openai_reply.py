"""Replies with counts and words that cannot be: each is kept, stored, and spoils no account."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evolvent.calls.store import CallStore
from evolvent.calls.stored import StoredChat
from evolvent.models.openai.reply import MOST_TOKENS
from evolvent.models.protocols import Reply, Usage
from tests.models.openai_server import ASK, GREEDY, completion, says, serving

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
