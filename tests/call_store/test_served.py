"""A server that answers with another model, or another configuration, is told once and noted in the manifest."""

import logging
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from evolvent.call_store.replies import reply_from_json, reply_to_json
from evolvent.call_store.served import NOTED, Name, Served
from evolvent.errors import ModelUnavailableError
from evolvent.models.protocols import Reply, Sampling
from evolvent.report.contents import contents
from evolvent.report.summary import summary
from evolvent.responses.respond import respond
from evolvent.runs.manifest import read_manifest
from tests.runs.staged import OTHER, TEACHER, write_seeds
from tests.scripted import Opened, Scripted

ONE, TWO = ("small-v1", None), ("small-v2", None)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((TEACHER, OTHER), lambda *_: "an answer")
    monkeypatch.setattr("evolvent.models.models.open_chat", opened.open_chat)
    return opened


def serving(*each: tuple[int, tuple[str, str | None] | None], then: Any = None) -> Any:
    """Replies that name what they were made with: so many this, so many that; then what ``then`` raises."""
    names = iter([name for times, name in each for _ in range(times)])

    def reply(prompt: str, sampling: Sampling) -> Reply:
        try:
            return Reply("an answer", "stop", served_by=next(names))
        except StopIteration:
            raise then from None

    return reply


def seen(*served: tuple[str, str | None] | None) -> tuple[list[Name], int]:
    """The names that are noted of these replies, and how often that was."""
    names: dict[str, list[Name]] = {}
    notes = count()
    server = Served("m", names, lambda: next(notes))
    for one in served:
        server.see(one)
    return names.get("m", []), next(notes)


def test_a_model_that_changes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    assert seen(None, ONE, ONE, None, TWO, ONE, TWO) == ([["small-v1", None], ["small-v2", None]], 2)
    assert [record.getMessage() for record in caplog.records] == [
        "model m: the server changed: reply 5 of this command is by small-v2, those before it by small-v1"
    ]


def test_a_more_exact_name_than_was_asked_for_is_no_change(caplog: pytest.LogCaptureFixture) -> None:
    assert seen(*[("gpt-4o-2024-08-06", "fp_1")] * 3) == ([["gpt-4o-2024-08-06", "fp_1"]], 1)
    assert not caplog.records


def test_fingerprints_are_told_once_and_do_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    names, notes = seen(*[("a", f"fp_{n}") for n in range(1000)], ("a", None), ("b", "fp_0"))
    assert len(names) == notes == NOTED + 1
    assert [record.getMessage().partition("command ")[2] for record in caplog.records] == [
        "has the system_fingerprint fp_1, those before it fp_0",
        "is by b, those before it by a",
    ]


def test_a_router_that_names_ever_new_models_does_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    names, _ = seen(*[(f"model-{n}", "fp") for n in range(1000)])
    assert (len(names), len(caplog.records)) == (NOTED, NOTED - 1)


def test_names_steer_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    seen(ONE, ("\x1b[2J", None))
    assert "by \\x1b[2J," in caplog.text


def test_a_stage_notes_what_its_servers_named(tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture) -> None:
    models[TEACHER].reply = serving((7, ONE), (5, TWO))
    run = respond(write_seeds(tmp_path, range(12)), teacher=[TEACHER, OTHER], out=tmp_path / "run", concurrency=1)
    assert run.counts["ok"] == 24
    assert read_manifest(tmp_path / "run")["respond"].served == {TEACHER: [["small-v1", None], ["small-v2", None]]}
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert f"reply 8 of this command is by {TWO[0]}, those before it by {ONE[0]}" in caplog.text
    notes = summary(contents(tmp_path / "run"))[0].notes
    assert notes == (f"respond: the server changed under {TEACHER}: replies are by small-v1, small-v2",)


def test_between_stop_and_resume_too(tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture) -> None:
    seeds = write_seeds(tmp_path, range(12))
    models[TEACHER].reply = serving((7, ONE), then=ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        respond(seeds, teacher=TEACHER, out=tmp_path / "run", concurrency=1)
    assert read_manifest(tmp_path / "run")["respond"].served == {TEACHER: [["small-v1", None]]}
    models[TEACHER] = Scripted(serving((5, TWO)), uri=TEACHER)
    respond(seeds, teacher=TEACHER, out=tmp_path / "run", concurrency=1)
    assert read_manifest(tmp_path / "run")["respond"].served == {TEACHER: [["small-v1", None], ["small-v2", None]]}
    assert "is by small-v2, those before it by small-v1" in caplog.text


def test_stored_replies_name_it_and_older_ones_need_not() -> None:
    reply = Reply("a", "stop", served_by=("small", "fp_1"))
    assert reply_from_json(reply_to_json(reply)) == reply
    older = orjson.loads(reply_to_json(reply))
    del older["served_by"]
    assert reply_from_json(orjson.dumps(older).decode()) == Reply("a", "stop")
