"""A stage from its first call to its file: stopped, gone on with, changed, paid for; models are scripted."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolvent.call_store.store import CallStore, spent_in
from evolvent.errors import BudgetReachedError, InputError, ModelUnavailableError
from evolvent.models.protocols import Reply, Sampling
from evolvent.responses.respond import respond
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import parts_folder
from tests.runs.staged import (
    EVOLVER,
    KEPT_AFTER,
    PART,
    TEACHER,
    asked_in,
    breaking_after,
    evolved,
    longer,
    undisturbed,
    write_seeds,
)
from tests.scripted import Opened

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


def test_calls_that_were_paid_for_and_are_gone_are_named(
    tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    seeds, run = write_seeds(tmp_path, range(6)), tmp_path / "run"
    models[EVOLVER].reply = longer
    evolved(seeds, run)
    evolved(seeds, run)
    assert not caplog.messages
    for name in ("calls.sqlite", "calls.sqlite-wal", "calls.sqlite-shm"):
        (run / name).unlink(missing_ok=True)
    evolved(seeds, run, fresh=True)
    assert [line for line in caplog.messages if "warning" in line] == [
        f"warning: {run / 'calls.sqlite'} no longer holds 6 calls that were paid for: what needs one makes, and pays, "
        "it again"
    ]
    assert sum(use.calls for use in spent_in(run)) == 6
    caplog.clear()
    evolved(seeds, run, fresh=True)
    assert not caplog.messages


def test_a_resumed_run_does_not_begin_finished_parts_again(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither are their records read from the call store."""
    total, answered = 8 * PART, 3 * PART + KEPT_AFTER
    seeds = write_seeds(tmp_path, range(total))
    models[EVOLVER].reply = breaking_after(answered, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run", concurrency=1)
    parts_there = sorted(path.stem for path in parts_folder(tmp_path / "run" / "evolved.parquet").iterdir())
    assert parts_there[:3] == ["000000", "000001", "000002"]
    read: list[bytes] = []
    get = CallStore.get
    monkeypatch.setattr(CallStore, "get", lambda store, key: (read.append(key), get(store, key))[1])
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    evolved(seeds, tmp_path / "run", concurrency=1)
    assert asked_in(models[EVOLVER]) == total - answered
    assert len(read) == total - PART * len(parts_there)


def test_what_was_paid_is_in_the_manifest_whatever_ended_it(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = breaking_after(5, KeyError("a fault of ours"))
    with pytest.raises(KeyError):
        evolved(write_seeds(tmp_path, range(9)), tmp_path / "run", concurrency=1, price="1000000,2000000")
    entry = read_manifest(tmp_path / "run")["evolve"]
    assert (entry.state, entry.wall_s > 0) == ("running", True)
    used = {"calls": 5, "prompt_tokens": 10, "completion_tokens": 5, "estimated": False}
    assert entry.paid == {EVOLVER: used | {"cost": 20.0, "price": [1_000_000, 2_000_000]}}
    assert models[EVOLVER].closed


def test_a_budget_knows_the_prices_of_earlier_stages(tmp_path: Path, models: Opened) -> None:
    evolved(write_seeds(tmp_path, range(2)), tmp_path / "run", price="1,2")
    again = evolved(write_seeds(tmp_path, range(3)), tmp_path / "run", fresh=True, budget=5.0)
    assert again.counts["seeds"] == 3


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
    evolved(seeds, tmp_path / "run", rounds=3)
    assert asked_in(models[EVOLVER]) == 10
    write_seeds(tmp_path, range(13))
    run = evolved(seeds, tmp_path / "run", rounds=3)
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
        if asked == PART + 1 + KEPT_AFTER:
            write_seeds(tmp_path, range(100, 130))
        return longer(prompt, sampling)

    models[EVOLVER].reply = changing
    with pytest.raises(InputError, match="has changed since it was checked"):
        evolved(seeds, tmp_path / "run", concurrency=1)
    kept = sorted(path.stem for path in parts_folder(tmp_path / "run" / "evolved.parquet").iterdir())
    assert kept[0] == "000000"
    assert PART * len(kept) <= asked
    models[EVOLVER].reply = longer
    with pytest.raises(InputError, match="other content"):
        evolved(seeds, tmp_path / "run")
    seeds.write_bytes(before)
    assert evolved(seeds, tmp_path / "run").output.read_bytes() == undisturbed(tmp_path, seeds)


def test_a_limit_takes_the_first_so_many(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(30))
    rows = list(evolved(seeds, tmp_path / "run", limit=6))
    assert [row.seed_index for row in rows] == [n for n in range(6) for _ in range(2)]
    with pytest.raises(InputError, match="limit: 6 in the folder, 5 now"):
        evolved(seeds, tmp_path / "run", limit=5)
    asked_in(models[EVOLVER])
    evolved(seeds, tmp_path / "run", limit=8)
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


def test_a_dry_run_of_a_stage_that_is_stale_says_what_it_will_be_and_not_that_it_is_refused(
    tmp_path: Path, models: Opened
) -> None:
    out = tmp_path / "run"
    how = {"teacher": TEACHER, "out": out}
    respond(evolved(write_seeds(tmp_path, range(3)), out), **how)
    evolved(write_seeds(tmp_path, range(3)), out, fresh=True)
    same = respond(out, **how, dry_run=True).estimate
    evolved(write_seeds(tmp_path, range(4)), out, fresh=True)
    other = respond(out, **how, dry_run=True).estimate
    assert same is not None
    assert other is not None
    assert [(found.finished, found.differences) for found in (same, other)] == [(True, ()), (False, ())]
    assert respond(out, **how).already_done is False
