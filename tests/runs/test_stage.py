"""A stage from its first call to its file: stopped, gone on with, failed, retried, made anew; models are scripted."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolvent.errors import BudgetReachedError, CallError, InputError, ModelUnavailableError, RunError
from evolvent.evolution.evolve import evolve
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.records import Message
from evolvent.responses.respond import respond
from evolvent.runs import parts, stage
from evolvent.runs.calls import calls, spent_in
from evolvent.runs.folder import Run
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import parts_folder
from evolvent.runs.store import CallStore
from tests.scripted import Opened, Scripted

URL = "?base_url=http://host:1/v1"
EVOLVER, TEACHER, OTHER = (f"openai:{name}{URL}" for name in ("evolver", "teacher", "other"))
PART = 4


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER, TEACHER, OTHER), longer)
    monkeypatch.setattr(stage, "open_chat", opened.open_chat)
    monkeypatch.setattr(parts, "PART", PART)
    return opened


def longer(prompt: str, sampling: Sampling) -> Reply:
    """An answer that the prompt and the seed decide, of 2 tokens in and 1 out."""
    given = prompt.split("Prompt#:\n", 1)[-1].split("\n", 1)[0]
    drawn = hashlib.sha256(f"{prompt}{sampling.seed}".encode()).hexdigest()[:6]
    return Reply(f"{given} and {drawn}", "stop", Usage(2, 1))


def refuse(*_: object) -> str:
    raise CallError("server said no")


def failing_for(named: Iterable[int], otherwise: Callable[[str, Sampling], Reply] = longer) -> Any:
    """Fails for the seeds of these numbers."""
    words = [f"number {n}:" for n in named]

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if any(word in prompt for word in words):
            raise CallError("server said no")
        return otherwise(prompt, sampling)

    return reply


def breaking_after(count: int, error: BaseException) -> Any:
    """Answers so many calls and then cannot be used at all."""
    answered = 0

    def reply(prompt: str, sampling: Sampling) -> Reply:
        nonlocal answered
        answered += 1
        if answered > count:
            raise error
        return longer(prompt, sampling)

    return reply


def write_seeds(folder: Path, numbers: Iterable[int], name: str = "seeds.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps({"instruction": f"Mend sock number {n}: how?"}) + "\n" for n in numbers))
    return path


def evolved(seeds: Path, out: Path, **options: Any) -> Run:
    return evolve(seeds, model=EVOLVER, out=out, **{"rounds": 1, "concurrency": 3, **options})


def undisturbed(tmp_path: Path, seeds: Path, **options: Any) -> bytes:
    return evolved(seeds, tmp_path / "undisturbed", **options).output.read_bytes()


def asked_in(model: Scripted) -> int:
    """How often a model was asked since this was last asked."""
    count = len(model.asked)
    model.asked.clear()
    return count


# Failures


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


def test_when_only_the_first_records_fail_it_goes_on(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = failing_for(range(19))
    run = evolved(write_seeds(tmp_path, range(40)), tmp_path / "run")
    assert (run.counts["ok"], run.counts["failed"], run.counts["failures"]) == (21, 19, {"server said no": 19})


def test_a_run_that_has_good_records_goes_on_however_many_fail_after_it_was_resumed(
    tmp_path: Path, models: Opened
) -> None:
    seeds = write_seeds(tmp_path, range(40))
    models[EVOLVER].reply = breaking_after(2 * PART, ModelUnavailableError("gone"))
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


# Stopped and gone on with


class Killed(BaseException):
    """Ends a run as nothing that it expects would."""


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(st.integers(0, 40), min_size=1, max_size=2),
    concurrency=st.integers(1, 9),
    error=st.sampled_from([ModelUnavailableError("gone"), KeyError("a fault of ours"), Killed()]),
)
def test_however_often_it_is_stopped_the_file_is_the_same_and_no_call_is_paid_twice(
    tmp_path_factory: pytest.TempPathFactory, models: Opened, stops: list[int], concurrency: int, error: BaseException
) -> None:
    folder = tmp_path_factory.mktemp("stopped")
    seeds = write_seeds(folder, range(14))
    answered: list[str] = []
    for stop in [*stops, None]:
        breaking = longer if stop is None else breaking_after(stop, error)

        def reply(prompt: str, sampling: Sampling, breaking: Any = breaking) -> Reply:
            made: Reply = breaking(prompt, sampling)
            answered.append(prompt)
            return made

        models[EVOLVER].reply = reply
        try:
            evolved(seeds, folder / "run", rounds=2, concurrency=concurrency)
        except type(error):
            paid = read_manifest(folder / "run")["evolve"].paid
            assert paid.get(EVOLVER, {"calls": 0})["calls"] == sum(use.calls for use in spent_in(folder / "run"))
    models[EVOLVER].reply = longer
    assert (folder / "run" / "evolved.parquet").read_bytes() == undisturbed(folder, seeds, rounds=2)
    # a call that is answered while the run ends may be made again: those in flight, and no other
    assert 28 <= len(answered) <= 28 + len(stops) * concurrency
    assert not parts_folder(folder / "run" / "evolved.parquet").exists()


def test_a_resumed_run_does_not_begin_finished_parts_again(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither are their records read from the call store."""
    seeds = write_seeds(tmp_path, range(4 * PART))
    models[EVOLVER].reply = breaking_after(3 * PART + 2, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run", concurrency=1)
    parts_there = sorted(path.stem for path in parts_folder(tmp_path / "run" / "evolved.parquet").iterdir())
    assert parts_there == ["000000", "000001", "000002"]
    read: list[bytes] = []
    get = CallStore.get
    monkeypatch.setattr(CallStore, "get", lambda store, key: (read.append(key), get(store, key))[1])
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    evolved(seeds, tmp_path / "run", concurrency=1)
    assert asked_in(models[EVOLVER]) == PART - 2
    assert len(read) == PART


def test_what_was_paid_is_in_the_manifest_whatever_ended_it(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = breaking_after(5, KeyError("a fault of ours"))
    with pytest.raises(KeyError):
        evolved(write_seeds(tmp_path, range(9)), tmp_path / "run", concurrency=1, price="1000000,2000000")
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.state, entry.wall_s > 0) == ("running", True)
    assert entry.paid == {
        EVOLVER: {"calls": 5, "prompt_tokens": 10, "completion_tokens": 5, "estimated": False, "cost": 20.0}
    }
    assert models[EVOLVER].closed


def test_a_finished_run_opens_no_model(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(3))
    evolved(seeds, tmp_path / "run")
    models.how.clear()
    run = evolved(seeds, tmp_path / "run")
    assert (run.already_done, models.how) == (True, [])
    assert [row.round for row in run] == [0, 1] * 3


def test_an_interrupted_run_with_another_model_behind_the_name_is_refused(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(9))
    models[EVOLVER].reply = breaking_after(5, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run")
    models[EVOLVER].identity = '{"weights":"others"}'
    with pytest.raises(InputError, match="began with another"):
        evolved(seeds, tmp_path / "run")
    assert read_manifest(tmp_path / "run")["evolve"].paid != {}


def test_the_concurrency_changes_nothing_in_the_file(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(30))
    files = {evolved(seeds, tmp_path / str(n), rounds=2, concurrency=n).output.read_bytes() for n in (1, 2, 17)}
    assert len(files) == 1


# Changed


def test_more_rounds_and_more_seeds_use_every_call_again(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(10))
    evolved(seeds, tmp_path / "run", rounds=2)
    assert asked_in(models[EVOLVER]) == 20
    with pytest.raises(InputError, match="rounds: 2 in the folder, 3 now"):
        evolved(seeds, tmp_path / "run", rounds=3)
    evolved(seeds, tmp_path / "run", rounds=3, fresh=True)
    assert asked_in(models[EVOLVER]) == 10
    write_seeds(tmp_path, range(13))
    with pytest.raises(InputError, match="other content"):
        evolved(seeds, tmp_path / "run", rounds=3)
    run = evolved(seeds, tmp_path / "run", rounds=3, fresh=True)
    assert asked_in(models[EVOLVER]) == 9
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.paid[EVOLVER]["calls"], entry.used[EVOLVER]["calls"]) == (39, 39)
    assert run.output.read_bytes() == undisturbed(tmp_path, seeds, rounds=3)
    evolved(seeds, tmp_path / "run", rounds=1, fresh=True)
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.paid[EVOLVER]["calls"], entry.used[EVOLVER]["calls"]) == (39, 13)


def test_seeds_that_change_meanwhile_stop_it_and_nothing_of_them_is_kept(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(20))
    before = seeds.read_bytes()
    asked = 0

    def changing(prompt: str, sampling: Sampling) -> Reply:
        nonlocal asked
        asked += 1
        if asked == 2 * PART - 1:
            write_seeds(tmp_path, range(100, 130))
        return longer(prompt, sampling)

    models[EVOLVER].reply = changing
    with pytest.raises(InputError, match="has changed since it was checked"):
        evolved(seeds, tmp_path / "run", concurrency=1)
    assert [path.stem for path in parts_folder(tmp_path / "run" / "evolved.parquet").iterdir()] == ["000000"]
    models[EVOLVER].reply = longer
    with pytest.raises(InputError, match="other content"):
        evolved(seeds, tmp_path / "run")
    seeds.write_bytes(before)
    assert evolved(seeds, tmp_path / "run").output.read_bytes() == undisturbed(tmp_path, seeds)


def test_a_limit_takes_the_first_so_many(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(30))
    rows = list(evolved(seeds, tmp_path / "run", limit=6))
    assert [row.seed_index for row in rows] == [n for n in range(6) for _ in range(2)]
    with pytest.raises(InputError, match="limit: 6 in the folder, 7 now"):
        evolved(seeds, tmp_path / "run", limit=7)
    asked_in(models[EVOLVER])
    evolved(seeds, tmp_path / "run", limit=8, fresh=True)
    assert asked_in(models[EVOLVER]) == 2


def test_bad_rows_shift_positions_and_a_stop_among_them_does_not_matter(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(24))
    lines = seeds.read_text().splitlines(keepends=True)
    for bad in (0, 5, 6, 7, 8, 9, 17, 23):
        lines[bad] = "{no json\n"
    seeds.write_text("".join(lines))
    whole = undisturbed(tmp_path, seeds, skip_bad=True)
    for stop in (1, 3, 4, 5, 9):
        models[EVOLVER].reply = breaking_after(stop, ModelUnavailableError("gone"))
        out = tmp_path / f"stopped {stop}"
        with pytest.raises(ModelUnavailableError):
            evolved(seeds, out, skip_bad=True, concurrency=2)
        models[EVOLVER].reply = longer
        run = evolved(seeds, out, skip_bad=True)
        assert run.output.read_bytes() == whole
        assert run.counts["skipped rows"] == 8
    assert [row.seed_index for row in run if not row.round] == [
        n for n in range(24) if n not in (0, 5, 6, 7, 8, 9, 17, 23)
    ]


# Several models


def test_two_uris_of_one_model_are_one_model(tmp_path: Path, models: Opened) -> None:
    """They differ in how it is reached: the judge is the evolver."""
    models[EVOLVER].reply = lambda prompt, sampling: (
        "Not Equal" if "The First Prompt" in prompt else longer(prompt, sampling)
    )
    run = evolved(write_seeds(tmp_path, range(4)), tmp_path / "run", judge=f"{EVOLVER}&timeout=5")
    assert [uri for uri, _ in models.how] == [EVOLVER]
    assert list(read_manifest(tmp_path / "run")["evolve"].models) == [EVOLVER]
    assert (run.counts["ok"], len(models[EVOLVER].asked)) == (4, 8)
    with pytest.raises(InputError, match="a teacher is named twice"):
        respond(run, teacher=[TEACHER, f"{TEACHER}&timeout=5"], out=tmp_path / "run")


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


# Budget


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.lists(st.integers(1, 70), min_size=1, max_size=2), concurrency=st.integers(1, 8))
def test_a_budget_stops_it_in_good_order_and_a_higher_one_goes_on(
    tmp_path_factory: pytest.TempPathFactory, models: Opened, limits: list[int], concurrency: int
) -> None:
    """A call costs 3; the first calls, of which nothing is known, may pass the limit, and no others."""
    folder = tmp_path_factory.mktemp("budget")
    seeds = write_seeds(folder, range(12))
    asked_in(models[EVOLVER])
    options: dict[str, Any] = {"rounds": 2, "concurrency": concurrency, "price": "1000000,1000000"}
    spent = 0.0
    for limit in limits:
        try:
            evolved(seeds, folder / "run", budget=limit, **options)
        except BudgetReachedError as error:
            assert error.exit_status == 3
            before, spent = spent, 3.0 * sum(use.calls for use in spent_in(folder / "run"))
            assert f"{spent:.2f} of {limit:.2f} spent" in str(error)
            assert spent > limit - 3
            assert spent <= max(limit, before if before else 3 * concurrency)
            paid = read_manifest(folder / "run")["evolve"].paid
            assert paid[EVOLVER]["cost"] == spent
    evolved(seeds, folder / "run", **options)
    assert asked_in(models[EVOLVER]) == 24
    assert (folder / "run" / "evolved.parquet").read_bytes() == undisturbed(folder, seeds, rounds=2)


def test_a_budget_without_a_price_is_refused_before_a_call(tmp_path: Path, models: Opened) -> None:
    with pytest.raises(InputError, match="--budget needs the price of"):
        evolved(write_seeds(tmp_path, range(3)), tmp_path / "run", budget=5.0)
    assert models[EVOLVER].asked == []


def test_a_dry_run_writes_and_asks_nothing(tmp_path: Path, models: Opened) -> None:
    run = evolved(write_seeds(tmp_path, range(3)), tmp_path / "run", dry_run=True)
    assert run.estimate is not None
    assert (run.estimate.calls, models.how, (tmp_path / "run").exists()) == (3, [], False)
