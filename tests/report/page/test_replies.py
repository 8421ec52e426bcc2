"""Raw replies out of the call store: those of the very draw that a row is of, and none that may be another's."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import CallError
from evolvent.evolution.evolve import evolve
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from evolvent.report.page.rows import LONGEST, block
from evolvent.report.page.source import read_sources
from evolvent.responses.respond import respond
from tests.report.page.test_rows import unpacked
from tests.scripted import Opened

EVOLVER, TEACHER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("evolver", "teacher"))


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, TEACHER), lambda *_: "")
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    opened[EVOLVER].reply = lambda *_: Reply("", "stop", reasoning=f"thought {len(opened[EVOLVER].asked)}")
    return opened


def raw_of(folder: Path) -> dict[str, str | None]:
    return {row["id"]: row["raw"] for row in unpacked(block(read_sources([folder])).text) if row["status"] != "ok"}


@pytest.mark.parametrize(("temperature", "retries", "calls"), [(0.7, 1, 6), (0.7, 0, 3), (0, 0, 1)])
def test_of_an_evolution_it_is_the_last_attempt_of_its_last_draw(
    tmp_path: Path, models: Opened, temperature: float, retries: int, calls: int
) -> None:
    how: dict[str, Any] = {"rounds": 2, "temperature": temperature, "retry_eliminated": retries}
    run = evolve([{"instruction": "Mend it"}], model=EVOLVER, out=tmp_path, **how)
    rounds = [row.id for row in run if row.round]
    assert raw_of(tmp_path) == {rounds[0]: f"thought {calls}", rounds[1]: f"thought {2 * calls}"}


def test_where_calls_cannot_be_told_apart_there_is_none(tmp_path: Path, models: Opened) -> None:
    run = evolve([{"instruction": "Mend it"}], model=EVOLVER, out=tmp_path, rounds=2, temperature=0)
    rounds = [row.id for row in run if row.round]
    with sqlite3.connect(tmp_path / "calls.sqlite") as store:
        store.execute("DELETE FROM calls WHERE rowid = 1")
    assert raw_of(tmp_path) == dict.fromkeys(rounds)
    (tmp_path / "calls.sqlite").unlink()
    assert raw_of(tmp_path) == dict.fromkeys(rounds)
    (tmp_path / "calls.sqlite").write_text("no store")
    assert raw_of(tmp_path) == dict.fromkeys(rounds)


def test_of_an_answer_it_is_what_could_not_be_read_and_long_ones_are_cut(tmp_path: Path, models: Opened) -> None:
    def reply(prompt: str, _: Sampling) -> str | Reply:
        if prompt == "down":
            raise CallError("no completion", raw="<html>busy</html>")
        return Reply("", "stop", refusal="n" * (LONGEST + 5)) if prompt == "long" else f"I'm sorry: {prompt}"

    models[TEACHER].reply = reply
    run = respond([{"instruction": one} for one in ("down", "long", "it is")], teacher=[TEACHER], out=tmp_path)
    down, long, own = [row.id for row in run]
    found = raw_of(tmp_path)
    assert found[down] == "<html>busy</html>" and found[own] is None  # its text stands in the row
    assert found[long] == f"{'n' * LONGEST} … (5 more characters are left out here)"


def numbered(models: Opened) -> None:
    """Replies of the teacher are told apart by their number."""
    models[TEACHER].reply = lambda *_: Reply("", "stop", reasoning=f"thought {len(models[TEACHER].asked)}")


ANOTHER: list[dict[str, Any]] = [{"system": "B"}, {"system": None}, {"top_p": 0.5}, {"max_tokens": 99}]


@pytest.mark.parametrize("other", [*ANOTHER, {"temperature": 0}, {"temperature": 0.2}, {"seed": 3}], ids=str)
def test_of_a_stage_that_was_made_anew_and_back_it_is_the_reply_of_its_settings(
    tmp_path: Path, models: Opened, other: dict[str, Any]
) -> None:
    numbered(models)
    how: dict[str, Any] = {"teacher": [TEACHER], "out": tmp_path, "system": "A", "temperature": 0.7}
    asked = [{"instruction": "Mend it"}]
    [row] = respond(asked, **how)
    assert raw_of(tmp_path) == {row.id: "thought 3"}  # the last of three attempts
    respond(asked, **{**how, **other}, fresh=True)
    assert raw_of(tmp_path) == {row.id: f"thought {len(models[TEACHER].asked)}"}
    respond(asked, **how, fresh=True)
    assert raw_of(tmp_path) == {row.id: "thought 3"}


@pytest.mark.parametrize("other", ANOTHER, ids=str)
def test_so_it_is_of_evolutions(tmp_path: Path, models: Opened, other: dict[str, Any]) -> None:
    how: dict[str, Any] = {"model": EVOLVER, "out": tmp_path, "system": "A", "rounds": 1, "temperature": 0.7}
    seeds = [{"instruction": "Mend it"}]
    id = next(row.id for row in evolve(seeds, **how) if row.round)
    evolve(seeds, **{**how, **other}, fresh=True)
    assert raw_of(tmp_path) == {id: f"thought {len(models[EVOLVER].asked)}"}
    evolve(seeds, **how, fresh=True)
    assert raw_of(tmp_path) == {id: "thought 3"}


def test_at_temperature_0_rounds_are_counted_of_what_was_asked_with_the_settings_of_now(
    tmp_path: Path, models: Opened
) -> None:
    how: dict[str, Any] = {"model": EVOLVER, "out": tmp_path, "rounds": 2, "temperature": 0}
    seeds = [{"instruction": "Mend it"}]
    rounds = [row.id for row in evolve(seeds, **how, system="A") if row.round]
    evolve(seeds, **how, system="B", fresh=True)
    assert raw_of(tmp_path) == {rounds[0]: "thought 3", rounds[1]: "thought 4"}
    evolve(seeds, **how, system="A", fresh=True)
    assert raw_of(tmp_path) == {rounds[0]: "thought 1", rounds[1]: "thought 2"}
