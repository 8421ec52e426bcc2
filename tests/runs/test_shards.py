"""Stages made in shards, and merged: the bytes of one machine, no call twice, and nothing joined that is not of one."""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from evolvent.call_store.store import spent_in
from evolvent.errors import InputError, ModelUnavailableError, RunError
from evolvent.merge_run import merge
from evolvent.responses.respond import respond
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import MOST, parts_folder, parts_of
from evolvent.shard import SHARDS, Shard
from tests.runs.staged import (
    EVOLVER,
    PART,
    TEACHER,
    asked_in,
    breaking_after,
    evolved,
    failing_for,
    longer,
    refuse,
    write_seeds,
)
from tests.runs.staged import undisturbed as on_one_machine
from tests.scripted import Opened


def sharded(seeds: Path, out: Path, of: int = 3, **options: Any) -> Path:
    """Make all shards of an evolution; returns the run folder."""
    for number in range(1, of + 1):
        evolved(seeds, out, shard=f"{number}/{of}", **options)
    return out


@pytest.mark.parametrize("of", [1, 2, 5, 9])
def test_merged_shards_are_the_file_of_one_machine(tmp_path: Path, models: Opened, of: int) -> None:
    models[EVOLVER].reply = failing_for([3, 4], longer)
    seeds = write_seeds(tmp_path, range(18))
    [done] = merge(sharded(seeds, tmp_path / "run", of, rounds=2))
    assert done.output.read_bytes() == on_one_machine(tmp_path, seeds, rounds=2)
    one, many = (read_manifest(tmp_path / name)["evolve"] for name in ("undisturbed", "run"))
    assert (many.counts, many.used, many.paid, many.output) == (one.counts, one.used, one.paid, one.output)
    assert (many.state, many.settings, many.models) == ("done", one.settings, one.models)
    assert spent_in(tmp_path / "run") == [
        use._replace(seconds=many.seconds)
        for use, many in zip(spent_in(tmp_path / "undisturbed"), spent_in(tmp_path / "run"), strict=True)
    ]


def test_the_stages_behind_it_read_what_was_merged(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(10)), tmp_path / "run"
    merge(sharded(seeds, run))
    for number in (2, 1):
        respond(run, teacher=TEACHER, out=run, shard=f"{number}/2")
    assert [(one.stage, one.already_done) for one in merge(run)] == [("evolve", True), ("respond", False)]
    on_one_machine(tmp_path, seeds)
    respond(tmp_path / "undisturbed", teacher=TEACHER, out=tmp_path / "undisturbed")
    assert (run / "responses.parquet").read_bytes() == (tmp_path / "undisturbed" / "responses.parquet").read_bytes()
    asked_in(models[TEACHER])
    evolved(seeds, run, retry_failed=False)  # without --shard: it is done
    respond(run, teacher=TEACHER, out=run, fresh=True)
    assert asked_in(models[TEACHER]) == 0  # the calls of the shards came along


def test_a_shard_that_was_stopped_goes_on_and_one_that_is_made_or_merged_asks_for_nothing(
    tmp_path: Path, models: Opened
) -> None:
    seeds, run = write_seeds(tmp_path, range(20)), tmp_path / "run"
    models[EVOLVER].reply = breaking_after(9, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, shard="1/2", concurrency=1)
    models[EVOLVER].reply = longer
    evolved(seeds, run, shard="1/2", concurrency=1)
    assert asked_in(models[EVOLVER]) == 12 + 1  # 3 parts of 4 records; the call that broke
    assert evolved(seeds, run, shard="1/2").already_done
    evolved(seeds, run, shard="2/2")
    merge(run)
    asked_in(models[EVOLVER])
    assert evolved(seeds, run, shard="2/2").path == run
    assert evolved(seeds, run).already_done
    assert asked_in(models[EVOLVER]) == 0


def test_a_shard_without_a_part_loads_no_model(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(4)), tmp_path / "run"
    sharded(seeds, run, of=3)
    assert len(models.how) == 1
    assert merge(run)[0].output.read_bytes() == on_one_machine(tmp_path, seeds)


def test_missing_and_unfinished_shards_are_named(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    evolved(seeds, run, shard="2/4")
    models[EVOLVER].reply = breaking_after(1, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, shard="3/4", concurrency=1)
    with pytest.raises(RunError, match=r"3 of 4 shards are missing or not finished: 1, 3, 4\n.*--shard 1/4"):
        merge(run)
    assert not (run / "evolved.parquet").exists()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"rounds": 2}, r"rounds is 2 in shard 2/2, 1 in 1/2"),
        ({"seeds": range(1, 9)}, r"shards 2/2 and 1/2 are of different inputs"),
    ],
)
def test_shards_of_different_wholes_are_not_joined(
    tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture, other: dict[str, Any], words: str
) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, shard="1/2")
    assert not caplog.text
    others = write_seeds(tmp_path, other.pop("seeds", range(8)), "others.jsonl")
    evolved(others, run, **{"shard": "2/2", **other})
    assert "evolve: shard 1/2 has other settings, or another input; only shards of one kind can be" in caplog.text
    with pytest.raises(InputError, match=words):
        merge(run)


def test_shards_of_other_versions_are_not_joined(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, shard="1/2")
    monkeypatch.setattr("evolvent.runs.folder.versions", lambda: {"pyarrow": "0.1"})
    evolved(seeds, run, shard="2/2")
    with pytest.raises(InputError, match=r"shard 2/2 was made with evolvent none"):
        merge(run)


def test_a_damaged_part_is_not_joined_and_made_again(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    sharded(seeds, run, of=2)
    part = parts_folder(run / SHARDS / "2-of-2" / "evolved.parquet") / "000003.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(RunError, match="parts are missing or damaged, of shards 2"):
        merge(run)
    asked_in(models[EVOLVER])
    evolved(seeds, run, shard="2/2")
    assert asked_in(models[EVOLVER]) == 0  # all its calls are stored
    assert evolved(seeds, run, shard="2/2").already_done
    assert merge(run)[0].output.read_bytes() == on_one_machine(tmp_path, seeds)


def test_a_folder_that_holds_something_else_is_not_overwritten(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, rounds=2)
    with pytest.raises(InputError, match=r"holds evolve with other settings"):
        evolved(seeds, run, shard="1/2")
    sharded(seeds, tmp_path / "other", of=2)
    shutil.copytree(tmp_path / "other" / SHARDS, run / SHARDS)
    with pytest.raises(InputError, match=r"holds evolve with other settings"):
        merge(run)
    assert merge(run, fresh=True)[0].output.read_bytes() == on_one_machine(tmp_path, seeds)


def test_shards_of_a_file_that_was_made_anew_since_are_not_joined(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run)
    for number in (1, 2):
        respond(run, teacher=TEACHER, out=run, shard=f"{number}/2")
    evolved(seeds, run, fresh=True, seed=7)
    with pytest.raises(InputError, match=r"shards are of a evolved\.parquet that was made anew since"):
        merge(run)


def test_merging_again_after_a_kill_counts_no_call_twice(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), sharded(write_seeds(tmp_path, range(8)), tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("evolvent.runs.merge.Output.finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merge(run)
    assert merge(run)[0].output.read_bytes() == on_one_machine(tmp_path, seeds)
    assert [use.calls for use in spent_in(run)] == [8]


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_there_is_no_such_shard(tmp_path: Path, models: Opened, shard: str) -> None:
    with pytest.raises(InputError, match=r"1/64"):
        evolved(write_seeds(tmp_path, range(4)), tmp_path / "run", shard=shard)


def test_what_one_shard_has_checked_no_other_checks_again(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    loading = import_module("evolvent.datasets.load")  # the package has a function of this name
    monkeypatch.setattr(
        loading, "_check_all", lambda *given, check=loading._check_all: checked.append(1) or check(*given)
    )
    seeds, run = write_seeds(tmp_path, range(18)), tmp_path / "run"
    sharded(seeds, run)
    assert len(checked) == 1
    shutil.rmtree(run / SHARDS / "2-of-3")  # and lost
    evolved(seeds, run, shard="2/3")
    assert len(checked) == 1


def test_a_shard_makes_no_records_of_others(tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each of n workers would read the whole input as if it were its own."""
    seeds, run, made = write_seeds(tmp_path, range(40 * PART)), tmp_path / "run", list[object]()
    sharded(seeds, run, of=2)
    merge(run)
    loading, record_files = import_module("evolvent.datasets.load"), import_module("evolvent.runs.record_files")
    monkeypatch.setattr(loading, "_check", lambda *given, make=loading._check: made.append(1) or make(*given))
    monkeypatch.setattr(record_files, "from_row", lambda row, make=record_files.from_row: made.append(1) or make(row))
    shutil.copy(next(run.glob(".checked-*")), (tmp_path / "other").mkdir() or tmp_path / "other")
    evolved(seeds, tmp_path / "other", shard="7/20")
    assert len(made) == 2 * PART
    made.clear()
    respond(run, teacher=TEACHER, out=run, shard="7/20")
    assert len(made) == 2 * 2 * PART  # each with its seed, in row groups of that part


def test_merging_what_has_no_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no shards"):
        merge(tmp_path)


@pytest.mark.parametrize(
    ("records", "window", "sizes"),
    [
        *((0, 1, set()), (60, 1, {60}), (52_002, 1, {64, 34}), (200_000, 1, {256, 64}), (10**6, 512, {1024, 576})),
        *((2**26, 1, {2048}), (2**26 + 1, 512, {4096, 1}), (10**9, 1, {32_768, 18_944})),
    ],
)
def test_parts_are_small_enough_to_share_out_and_cut_no_window(records: int, window: int, sizes: set[int]) -> None:
    monkeyless = parts_of(records, window)
    assert {len(part) for part in monkeyless} == sizes
    assert sum(map(len, monkeyless)) == records
    assert len(monkeyless) <= MOST


def test_each_part_is_one_shards() -> None:
    for of in (1, 3, 64):
        takers = [[n for n in range(1, of + 1) if Shard(n, of).takes(part)] for part in range(200)]
        assert all(len(one) == 1 for one in takers)


def test_a_stage_that_was_made_anew_since_keeps_its_file(tmp_path: Path, models: Opened) -> None:
    """Shards of one round are there; since then a second round was made, and answered in shards."""
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    merge(sharded(seeds, run, of=2))
    two = evolved(seeds, run, rounds=2).output.read_bytes()
    for number in (1, 2):
        respond(run, teacher=TEACHER, out=run, shard=f"{number}/2")
    assert [(one.stage, one.already_done) for one in merge(run)] == [("evolve", True), ("respond", False)]
    assert (run / "evolved.parquet").read_bytes() == two
    assert read_manifest(run)["respond"].counts["instructions"] == 16


def test_what_the_run_folder_has_paid_itself_stays_in_its_account(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, preview=3)
    sharded(seeds, run, of=2, price="1,1")
    for _ in range(2):
        merge(run, fresh=True)
        assert [use.calls for use in spent_in(run)] == [3 + 8]
        assert read_manifest(run)["evolve"].paid[EVOLVER]["calls"] == 3 + 8


def test_a_price_that_one_shard_was_given_holds_for_all(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, shard="1/2", price="10,10")
    evolved(seeds, run, shard="2/2")
    merge(run)
    assert read_manifest(run)["evolve"].paid[EVOLVER]["cost"] == pytest.approx(8 * 3 * 10 / 1e6)


def test_a_merged_file_that_is_gone_is_merged_again(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    [done] = merge(sharded(seeds, run, of=2))
    written = done.output.read_bytes()
    done.output.unlink()
    assert not merge(run)[0].already_done
    assert done.output.read_bytes() == written


def test_shards_that_were_made_anew_are_merged_again(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    models[EVOLVER].reply = failing_for([3])
    assert merge(sharded(seeds, run, of=2))[0].counts["failed"] == 1
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    assert merge(sharded(seeds, run, of=2, fresh=True))[0].counts["failed"] == 0
    evolved(seeds, run, fresh=True)
    assert asked_in(models[EVOLVER]) == 1


def test_what_was_asked_again_since_the_merge_stays(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    models[EVOLVER].reply = failing_for([3])
    merge(sharded(seeds, run, of=2))
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    evolved(seeds, run, retry_failed=True)
    assert asked_in(models[EVOLVER]) == 1
    assert merge(run)[0].already_done
    assert read_manifest(run)["evolve"].counts["failed"] == 0


def test_another_cut_is_refused_before_the_first_call(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, shard="1/2")
    asked_in(models[EVOLVER])
    with pytest.raises(InputError, match=r"1-of-2 holds a shard of evolve that is one of 2, not of 3"):
        evolved(seeds, run, shard="1/3")
    assert asked_in(models[EVOLVER]) == 0
    evolved(seeds, tmp_path / "other", shard="2/3")
    shutil.copytree(tmp_path / "other" / SHARDS / "2-of-3", run / SHARDS / "2-of-3")
    with pytest.raises(InputError, match=r"was cut into 2 and into 3 shards"):
        merge(run)


def test_a_shard_made_elsewhere_is_stale_when_what_it_read_is_made_anew(tmp_path: Path, models: Opened) -> None:
    seeds, run, elsewhere = write_seeds(tmp_path, range(8)), tmp_path / "run", tmp_path / "elsewhere"
    evolved(seeds, run)
    for number in (1, 2):
        respond(run, teacher=TEACHER, out=elsewhere, shard=f"{number}/2")
    shutil.copytree(elsewhere / SHARDS, run / SHARDS)
    merge(run)
    evolved(seeds, run, rounds=2)
    assert read_manifest(run)["respond"].state == "stale"


def test_a_merge_that_was_killed_before_its_manifest_is_made_again(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    merge(sharded(seeds, run, of=2))
    sharded(seeds, run, of=2, fresh=True, seed=5)
    with monkeypatch.context() as patch:
        patch.setattr("evolvent.runs.merge.RunFolder.finish_merged", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merge(run, fresh=True)
    [done] = merge(run, fresh=True)
    assert not done.already_done
    assert done.output.read_bytes() == on_one_machine(tmp_path, seeds, seed=5)


def test_a_shard_of_which_all_records_fail_is_made_where_the_others_may_have_worked(
    tmp_path: Path, models: Opened
) -> None:
    models[EVOLVER].reply = failing_for([8])
    seeds = write_seeds(tmp_path, range(9))
    [done] = merge(sharded(seeds, tmp_path / "run", of=3))
    assert done.output.read_bytes() == on_one_machine(tmp_path, seeds)


@pytest.mark.parametrize("how", ["retry_failed", "retry_empty"])
def test_a_shard_asks_nothing_again(tmp_path: Path, models: Opened, how: str) -> None:
    with pytest.raises(InputError, match="a shard takes no --retry"):
        evolved(write_seeds(tmp_path, range(4)), tmp_path / "run", shard="1/2", **{how: True})


def test_what_is_half_made_in_the_run_folder_itself_stays(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    models[EVOLVER].reply = failing_for([3])
    merge(sharded(seeds, run, of=2))
    models[EVOLVER].reply = breaking_after(12, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, rounds=2, concurrency=1)
    with pytest.raises(InputError, match="half made, or being made again, by itself"):
        merge(run)


def test_a_stage_that_is_made_in_shards_is_not_paid_again_as_a_whole(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    evolved(seeds, run, shard="1/2")
    asked_in(models[EVOLVER])
    with pytest.raises(InputError, match="holds 1 of 2 shards of evolve"):
        evolved(seeds, run)
    assert asked_in(models[EVOLVER]) == 0


def test_what_the_folder_holds_otherwise_is_refused_and_replaced_where_that_is_asked_for(
    tmp_path: Path, models: Opened
) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    sharded(seeds, run, of=2, rounds=2)
    evolved(seeds, run, fresh=True)
    with pytest.raises(InputError, match="holds evolve with other settings"):
        merge(run)
    assert [one.already_done for one in merge(run, fresh=True)] == [False]
    assert read_manifest(run)["evolve"].settings["rounds"] == 2


def test_shards_are_joined_that_a_clock_says_are_older_than_the_merge(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, run = write_seeds(tmp_path, range(8)), tmp_path / "run"
    merge(sharded(seeds, run, of=2))
    with monkeypatch.context() as patch:
        patch.setattr("evolvent.runs.folder.now", lambda: "2001-01-01T00:00:00.000+00:00")
        sharded(seeds, run, of=2, fresh=True)
    assert [one.already_done for one in (*merge(run), *merge(run))] == [False, True]
    shutil.rmtree(run / SHARDS / "1-of-2")
    assert merge(run)[0].already_done


def test_shards_of_a_stage_whose_input_was_merged_anew_are_left_out(
    tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    merge(sharded(seeds, run, of=2))
    for number in (1, 2):
        respond(run, teacher=TEACHER, out=run, shard=f"{number}/2")
    merge(run)
    sharded(seeds, run, of=2, rounds=2, fresh=True)
    assert [(one.stage, one.already_done) for one in merge(run, fresh=True)] == [("evolve", False)]
    assert "respond: its shards are of an earlier evolved.parquet; make them again" in caplog.text
    with pytest.raises(RunError, match=r"respond in .*: 2 of 2 shards are missing or not finished"):
        merge(run)
    for number in (1, 2):
        respond(run, teacher=TEACHER, out=run, shard=f"{number}/2")
    assert [(one.stage, one.already_done) for one in merge(run)] == [("evolve", True), ("respond", False)]
    assert read_manifest(run)["respond"].counts["instructions"] == 32


def test_parts_that_an_older_version_cut_otherwise_are_made_again(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, run = write_seeds(tmp_path, range(16)), tmp_path / "run"
    sharded(seeds, run, of=2)
    monkeypatch.setattr("evolvent.runs.parts.PART", 2 * PART)
    with pytest.raises(RunError, match="parts are missing or damaged, of shards 1, 2"):
        merge(run)
    assert not evolved(seeds, run, shard="1/2").already_done
    evolved(seeds, run, shard="2/2")
    assert merge(run)[0].output.read_bytes() == on_one_machine(tmp_path, seeds)


def test_where_every_record_of_all_shards_failed_nothing_is_merged(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = refuse
    run = sharded(write_seeds(tmp_path, range(24)), tmp_path / "run", of=6)
    with pytest.raises(RunError, match=r"every record of evolve failed, 24 so far; the first: .*server said no"):
        merge(run)
    assert "evolve" not in read_manifest(run)
