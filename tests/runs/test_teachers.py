"""Several models in one stage: one or two of a name, the order of their rows, how one ends the other."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from evolvent.call_store.store import spent_in
from evolvent.errors import InputError, ModelUnavailableError
from evolvent.evolution.judging import QUESTIONS
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message
from evolvent.responses.respond import respond
from evolvent.runs.manifest import read_manifest
from tests.runs.staged import (
    EVOLVER,
    OTHER,
    TEACHER,
    breaking_after,
    evolved,
    failing_for,
    longer,
    write_seeds,
)
from tests.scripted import Opened, Scripted, knows


def test_two_uris_of_one_model_are_one_model(tmp_path: Path, models: Opened) -> None:
    """They differ in how it is reached: the judge is the evolver."""
    models[EVOLVER].reply = lambda prompt, sampling: (
        (knows(prompt) or "Not Equal") if "The First Prompt" in prompt else longer(prompt, sampling)
    )
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run", judge=f"{EVOLVER}&timeout=5")
    assert [uri for uri, _ in models.how] == [EVOLVER]
    assert list(read_manifest(tmp_path / "run")["evolve"].models) == [EVOLVER]
    assert (run.counts["ok"], len(models[EVOLVER].asked)) == (4, 8 + len(QUESTIONS))
    with pytest.raises(InputError, match="a teacher is named twice"):
        respond(run, teacher=[TEACHER, f"{TEACHER}&timeout=5"], out=tmp_path / "run")


class Waiting(Scripted):
    """Never answers; knows how many of its calls were cancelled."""

    cancelled = 0

    async def chat(self, *_: object) -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError


def test_a_teacher_that_cannot_be_used_takes_its_siblings_calls_along(tmp_path: Path, models: Opened) -> None:
    """Also where equal instructions wait for one call: what ended it is told, not that calls were cancelled."""
    seeds = tmp_path / "same.jsonl"
    seeds.write_text('{"instruction": "Mend a sock"}\n' * 9)
    waiting = Waiting(longer, uri=OTHER)
    models[OTHER] = waiting
    models[TEACHER].reply = breaking_after(0, ModelUnavailableError("no such model"))
    with pytest.raises(ModelUnavailableError, match="no such model"):
        respond(seeds, teacher=[OTHER, TEACHER], out=tmp_path / "run", concurrency=3)
    assert waiting.cancelled >= 1
    assert (waiting.closed, models[TEACHER].closed) == (True, True)


def test_rows_come_teacher_by_teacher_in_the_order_they_were_named(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(5))
    models[TEACHER].reply = failing_for([2])
    run = respond(seeds, teacher=[OTHER, TEACHER], out=tmp_path / "run", concurrency=4)
    assert [(row.seed_index, row.teacher) for row in run] == [(n, uri) for n in range(5) for uri in (OTHER, TEACHER)]
    assert run.counts["groups"] == {OTHER: {"ok": 5}, TEACHER: {"failed": 1, "ok": 4}}
    used = read_manifest(tmp_path / "run")["respond"].used
    assert {uri: used[uri]["calls"] for uri in used} == {OTHER: 5, TEACHER: 4}


class After(Scripted):
    """Answers when the run holds a reply of another model."""

    def __init__(self, other: str, run: Path, uri: str) -> None:
        super().__init__(longer, uri=uri)
        self.other, self.run = other, run

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        while self.other not in [use.model for use in spent_in(self.run)]:
            await asyncio.sleep(0)
        return await super().chat(messages, sampling)


def test_the_bytes_do_not_depend_on_which_teacher_answered_first(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(2))
    files = []
    for last, first in ((OTHER, TEACHER), (TEACHER, OTHER)):
        out = tmp_path / f"{len(files)}"
        models[first] = Scripted(longer, uri=first)
        models[last] = After(first, out, last)
        files.append(respond(seeds, teacher=[OTHER, TEACHER], out=out, concurrency=1).output.read_bytes())
    assert files[0] == files[1]


def test_what_is_for_servers_goes_to_servers_only(tmp_path: Path, models: Opened) -> None:
    models["embedded"] = Scripted(longer, uri="embedded")
    respond(
        write_seeds(tmp_path, range(2)),
        teacher=["embedded", TEACHER],
        out=tmp_path / "run",
        extra_body={"top_k": 5},
        concurrency=7,
        max_requests_per_minute=60_000,
        max_tokens_per_minute=70_000,
    )
    capped = {"requests_per_minute": 60_000, "tokens_per_minute": 70_000}
    free = {"requests_per_minute": None, "tokens_per_minute": None}
    assert models.how == [
        ("embedded", {"extra_body": None, "concurrency": 7, **free}),
        (TEACHER, {"extra_body": {"top_k": 5}, "concurrency": 7, **capped}),
    ]
