"""How long a stage's stored replies are, apart by model and by their limit."""

import asyncio
from contextlib import closing
from pathlib import Path

import orjson

from evolvent.call_store.lengths import reply_lengths
from evolvent.call_store.replies import reply_to_json
from evolvent.call_store.store import Call, CallStore
from evolvent.models.protocols import Reply, Usage


def call(number: int, limit: int, tokens: int, *, stage: str = "evolve", damaged: bool = False) -> Call:
    request = orjson.dumps({"max_tokens": limit, "messages": []}).decode()
    reply = reply_to_json(Reply("text", "stop", Usage(1, tokens)))
    return Call(bytes([number]), stage, "r", "openai:m", request, reply[:9] if damaged else reply)


def test_the_mean_of_each_limit(tmp_path: Path) -> None:
    assert reply_lengths(tmp_path, "evolve") == {}
    calls = [call(1, 160, 20), call(2, 160, 30), call(3, 2048, 200), call(4, 160, 900, stage="respond")]
    failed = Call(b"5", "evolve", "r", "openai:m", '{"max_tokens":160,"messages":[]}', None, "{}")
    with closing(CallStore(tmp_path / "calls.sqlite")) as store:
        asyncio.run(store.put([*calls, failed, call(6, 160, 900, damaged=True)]))
    found = reply_lengths(tmp_path, "evolve")
    assert found == {("openai:m", 160): (2, 25.0), ("openai:m", 2048): (1, 200.0)}
