"""What a stage does when calls fail: one record, the first ones, all of one teacher; and how they are retried."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evolvent.call_store.log import calls
from evolvent.call_store.store import spent_in
from evolvent.errors import ModelUnavailableError, RunError
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message
from evolvent.responses.respond import respond
from evolvent.runs import parts
from evolvent.runs.manifest import read_manifest
from tests.runs.staged import (
    EVOLVER,
    KEPT_AFTER,
    OTHER,
    PART,
    TEACHER,
    asked_in,
    breaking_after,
    evolved,
    failing_for,
    longer,
    refuse,
    undisturbed,
    write_seeds,
)
from tests.scripted import Opened, Scripted


def test_when_every_record_fails_it_stops_early_with_the_servers_words(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 64)
    models[EVOLVER].reply = refuse
    seeds = write_seeds(tmp_path, range(200))
    with pytest.raises(RunError, match=r"every record of evolve failed, 20 so far; the first: server said no\n"):
        evolved(seeds, tmp_path / "run")
    assert 20 <= asked_in(models[EVOLVER]) < 40
    assert models[EVOLVER].closed
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.state, entry.paid) == ("running", {})
    assert {call.error["error"] for call in calls(tmp_path / "run", failed=True) if call.error} == {"server said no"}

    models[EVOLVER].reply = longer
    whole = evolved(seeds, tmp_path / "run").output.read_bytes()
    assert asked_in(models[EVOLVER]) == 200
    assert whole == undisturbed(tmp_path, seeds)


def test_when_every_one_of_a_few_records_fails_no_file_is_made(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = refuse
    with pytest.raises(RunError, match="every record of evolve failed, 5 so far"):
        evolved(write_seeds(tmp_path, range(5)), tmp_path / "run")
    assert not (tmp_path / "run" / "evolved.parquet").exists()


def test_a_part_of_which_every_record_failed_is_not_kept(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = refuse
    seeds = write_seeds(tmp_path, range(PART - 1))
    with pytest.raises(RunError, match="every record of evolve failed, 3 so far"):
        evolved(seeds, tmp_path / "run")
    models[EVOLVER].reply = longer
    assert {row.status for row in evolved(seeds, tmp_path / "run", rounds=2)} == {"ok"}  # and it binds nobody


def test_when_only_the_first_records_fail_it_goes_on(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = failing_for(range(19))
    run = evolved(write_seeds(tmp_path, range(40)), tmp_path / "run")
    assert (run.counts["ok"], run.counts["failed"], run.counts["failures"]) == (21, 19, {"server said no": 19})


def test_a_run_that_has_good_records_goes_on_however_many_fail_after_it_was_resumed(
    tmp_path: Path, models: Opened
) -> None:
    seeds = write_seeds(tmp_path, range(40))
    # Far enough for the first parts to be kept; of what is begun anew no reply is stored.
    refused = range(2 * PART, 2 * PART + KEPT_AFTER)
    models[EVOLVER].reply = failing_for(refused, breaking_after(2 * PART, ModelUnavailableError("gone")))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run", concurrency=1)
    models[EVOLVER].reply = refuse
    assert evolved(seeds, tmp_path / "run").counts["failed"] == 40 - 2 * PART


def test_retry_failed_asks_for_the_failed_only(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(22))
    models[EVOLVER].reply = failing_for([3, 12, 13])
    assert evolved(seeds, tmp_path / "run", rounds=2).counts["failed"] == 6
    asked_in(models[EVOLVER])
    assert evolved(seeds, tmp_path / "run", rounds=2).already_done
    assert asked_in(models[EVOLVER]) == 0

    models[EVOLVER].reply = failing_for([12])
    run = evolved(seeds, tmp_path / "run", rounds=2, retry_failed=True)
    assert (asked_in(models[EVOLVER]), run.counts["failed"]) == (6, 2)
    models[EVOLVER].reply = longer
    run = evolved(seeds, tmp_path / "run", rounds=2, retry_failed=True)
    assert (asked_in(models[EVOLVER]), run.counts["failed"]) == (2, 0)
    assert run.output.read_bytes() == undisturbed(tmp_path, seeds, rounds=2)
    # What was asked about the parent in place of the failed one stays as it was: nothing asks for it any more.
    assert len(list(calls(tmp_path / "run", failed=True))) == 3
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert entry.used[EVOLVER]["calls"] == entry.paid[EVOLVER]["calls"] == 44


def test_retry_failed_that_is_stopped_loses_nothing(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(12))
    models[EVOLVER].reply = failing_for([2, 6, 10])
    before = evolved(seeds, tmp_path / "run").output.read_bytes()
    models[EVOLVER].reply = breaking_after(1, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run", retry_failed=True)
    assert (tmp_path / "run" / "evolved.parquet").read_bytes() == before
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    assert evolved(seeds, tmp_path / "run").output.read_bytes() == undisturbed(tmp_path, seeds)


def test_one_bad_record_costs_its_neighbours_nothing(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(11))
    good = [row for row in evolved(seeds, tmp_path / "good") if row.seed_index != 5]
    models[EVOLVER].reply = failing_for([5])
    rows = list(evolved(seeds, tmp_path / "bad"))
    assert [row for row in rows if row.seed_index != 5] == good
    assert [(row.status, row.reason) for row in rows if row.seed_index == 5] == [
        ("ok", None),
        ("failed", "server said no"),
    ]


class Slow(Scripted):
    """Answers what is in ``words`` after so many others are answered."""

    def __init__(
        self, reply: Callable[[str, Sampling], str | Reply], words: list[str], *, after: int, uri: str
    ) -> None:
        super().__init__(reply, uri=uri)
        self.words, self.left, self.go = words, after, asyncio.Event()

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        if any(word in messages[-1]["content"] for word in self.words):
            await self.go.wait()
        reply = await super().chat(messages, sampling)
        self.left -= 1
        if self.left == 0:
            self.go.set()
        return reply


@pytest.mark.parametrize("teachers", [[OTHER, TEACHER], [TEACHER, OTHER]])
def test_a_teacher_that_fails_always_stops_it_early_by_its_name(
    tmp_path: Path, models: Opened, teachers: list[str]
) -> None:
    """What the other one answered is kept: without the wrong one it is not asked again."""
    models[TEACHER].reply = refuse
    seeds = write_seeds(tmp_path, range(200))
    with pytest.raises(RunError) as caught:
        respond(seeds, teacher=teachers, out=tmp_path / "run")
    assert caught.value.message == f"every record of respond by {TEACHER} failed, 20 so far; the first: server said no"
    assert 20 <= asked_in(models[TEACHER]) < 40
    stored = sum(use.calls for use in spent_in(tmp_path / "run"))
    assert stored >= 19
    asked_in(models[OTHER])
    respond(seeds, teacher=OTHER, out=tmp_path / "run", fresh=True)
    assert asked_in(models[OTHER]) == 200 - stored


def test_a_teacher_that_fails_all_but_once_does_not_stop_it(tmp_path: Path, models: Opened) -> None:
    models[TEACHER].reply = failing_for([n for n in range(40) if n != 12])
    run = respond(write_seeds(tmp_path, range(40)), teacher=[OTHER, TEACHER], out=tmp_path / "run", concurrency=1)
    assert run.counts["groups"] == {OTHER: {"ok": 40}, TEACHER: {"failed": 39, "ok": 1}}


def test_the_first_in_the_input_may_fail_when_others_work(tmp_path: Path, models: Opened) -> None:
    """Those that end first decide, not those that stand first: a server may be slow to refuse."""
    seeds = write_seeds(tmp_path, range(60))
    slow = Slow(failing_for(range(25)), [f"number {n}:" for n in range(25)], after=30, uri=EVOLVER)
    models[EVOLVER] = slow
    run = evolved(seeds, tmp_path / "run", concurrency=40)
    assert (run.counts["failed"], run.counts["ok"]) == (25, 35)
