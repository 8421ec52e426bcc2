"""One teacher's answer to one instruction."""

import asyncio

import pytest

from evolvent.errors import CallError
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message, Record
from evolvent.responses.respond import answer, question
from tests.scripted import Scripted

RECORD = Record("s/r1", "s", 0, "Add them.", "3 and 4", "old", round=1)


def answered(reply: str | Reply, record: Record = RECORD) -> Record:
    return asyncio.run(answer(record, Scripted(lambda *_: reply), Sampling(0.0), 0, None))


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        ("7", "ok", None),
        ("Sorry, no.", "eliminated", "sorry"),
        ("It is.", "eliminated", "no words"),
        ("", "eliminated", "empty"),
        (Reply("Half", "content_filter"), "eliminated", "filtered"),
        (Reply("Half", "length"), "ok", None),
    ],
)
def test_the_rules_are_applied(reply: str | Reply, status: str, reason: str | None) -> None:
    row = answered(reply)
    assert (row.status, row.reason, row.teacher) == (status, reason, "scripted")
    assert row.id.startswith("s/r1/")
    assert row.output == (reply if isinstance(reply, str) else reply.text)


def test_a_failed_call_fails_the_row_in_the_servers_words() -> None:
    def refuse(*_: object) -> str:
        raise CallError("server said no")

    row = asyncio.run(answer(RECORD, Scripted(refuse), Sampling(0.0), 0, None))
    assert (row.status, row.reason, row.output) == ("failed", "server said no", "")


def test_what_is_asked() -> None:
    talk = [Message(role="system", content="Be brief."), Message(role="user", content="Add them.")]
    record = Record("s", "s", 0, "Add them.", messages=talk)
    assert question(RECORD, None) == [Message(role="user", content="Add them.\n3 and 4")]
    assert question(record, "Be kind.") == [Message(role="system", content="Be brief.\n\nBe kind."), talk[1]]
