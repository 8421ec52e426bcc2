"""Made anew or retried: what is finished stays good until the new file is there, and what was made of it follows."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evolvent.call_store.store import CallStore
from evolvent.errors import EvolventError, InputError, ModelUnavailableError, RunError
from evolvent.files import CALLS
from evolvent.responses.respond import respond
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import NOTES, has_parts, parts_folder
from evolvent.runs.run import Run
from tests.runs.staged import (
    EVOLVER,
    KEPT_AFTER,
    PART,
    TEACHER,
    asked_in,
    breaking_after,
    evolved,
    failing_for,
    longer,
    undisturbed,
    write_seeds,
)
from tests.scripted import Opened

Broken = Callable[[pytest.MonkeyPatch, Opened], None]


def answered(run: Path, **options: Any) -> Run:
    return respond(run, teacher=TEACHER, out=run, **{"concurrency": 3, **options})


def with_failures(folder: Path, models: Opened) -> tuple[Path, Path]:
    """Seeds, and a run folder in which evolve is finished, with failed records in one of its three parts."""
    seeds = write_seeds(folder, range(3 * PART))
    models[EVOLVER].reply = failing_for([PART + 1, PART + 2])
    assert evolved(seeds, folder / "run").counts["failed"] == 2
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    return seeds, folder / "run"


def interrupted_retry(folder: Path, models: Opened) -> tuple[Path, Path]:
    """The same, and a retry of it was interrupted before it had mended anything."""
    seeds, run = with_failures(folder, models)
    models[EVOLVER].reply = breaking_after(0, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, retry_failed=True)
    models[EVOLVER].reply = longer
    return seeds, run


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in ("manifest.json", "evolved.parquet", "responses.parquet")}


# A command that cannot begin changes nothing


def model_is_gone(patch: pytest.MonkeyPatch, models: Opened) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ModelUnavailableError("no such model")

    patch.setattr("evolvent.models.models.open_chat", gone)


def model_is_another(_: pytest.MonkeyPatch, models: Opened) -> None:
    models[EVOLVER].identity = '{"weights":"others"}'


def nothing_else(*_: object) -> None:
    pass


CANNOT_BEGIN: list[tuple[dict[str, Any], Broken, str]] = [
    ({"price": "much"}, nothing_else, "much"),
    ({"budget": 5.0}, nothing_else, "--budget needs the price"),
    ({"price": "1,1", "budget": -5.0}, nothing_else, "the budget is -5"),
    ({}, model_is_gone, "no such model"),
]


@pytest.mark.parametrize(
    ("how", "options", "broken", "words"),
    [
        *[(how, *case) for how in ("retry_failed", "fresh") for case in CANNOT_BEGIN],
        ("retry_failed", {}, model_is_another, "began with another"),
    ],
)
def test_a_retry_or_a_fresh_that_cannot_begin_changes_nothing(
    tmp_path: Path,
    models: Opened,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    options: dict[str, Any],
    broken: Broken,
    words: str,
) -> None:
    seeds, run = with_failures(tmp_path, models)
    answered(run)
    before = contents(run)
    broken(monkeypatch, models)
    with pytest.raises(EvolventError, match=words):
        evolved(seeds, run, **{how: True}, **options)
    assert contents(run) == before
    stages = read_manifest(run)
    assert (stages["evolve"].state, stages["respond"].state) == ("done", "done")
    assert not has_parts(run / "evolved.parquet")
    assert answered(run).already_done
    assert evolved(seeds, run).already_done


def rewritten(path: Path, *, group: int, notes: bytes | None) -> None:
    """The same rows as another tool would write them: in groups of its own, without our notes or with them."""
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table, row_group_size=group)
        if notes is not None:
            writer.add_key_value_metadata({NOTES: notes})


@pytest.mark.parametrize("notes", ["none", "ours", "other", "no JSON"])
@pytest.mark.parametrize("group", [5, 10_000])
def test_a_file_that_another_tool_wrote_is_not_taken_apart(
    tmp_path: Path, models: Opened, notes: str, group: int
) -> None:
    seeds, run = with_failures(tmp_path, models)
    answered(run)
    ours = pq.read_metadata(run / "evolved.parquet").metadata[NOTES]
    found = {"none": None, "ours": ours, "other": b'[{"end": 3}]', "no JSON": b"notes"}
    rewritten(run / "evolved.parquet", group=group, notes=found[notes])
    before = contents(run)
    with pytest.raises(InputError, match=r"evolved\.parquet is not as the stage wrote it.*\nMake it anew with --fresh"):
        evolved(seeds, run, retry_failed=True)
    assert contents(run) == before
    assert not has_parts(run / "evolved.parquet")
    assert evolved(seeds, run, fresh=True).output.read_bytes() == undisturbed(tmp_path, seeds)


def test_what_is_finished_can_be_read_while_its_retry_is_interrupted(tmp_path: Path, models: Opened) -> None:
    _, run = interrupted_retry(tmp_path, models)
    assert read_manifest(run)["evolve"].state == "running"
    assert answered(run).counts["instructions"] == 3 * PART - 2


def test_what_was_made_of_it_meanwhile_is_made_anew_when_the_retry_is_done(tmp_path: Path, models: Opened) -> None:
    seeds, run = interrupted_retry(tmp_path, models)
    answered(run)
    evolved(seeds, run)
    assert read_manifest(run)["respond"].state == "stale"
    assert answered(run).counts["instructions"] == 3 * PART


def test_of_an_interrupted_fresh_the_old_file_is_not_read(tmp_path: Path, models: Opened) -> None:
    """It was made with other settings, or is about to be another."""
    seeds, run = with_failures(tmp_path, models)
    models[EVOLVER].reply = breaking_after(1, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, rounds=2, fresh=True)
    with pytest.raises(InputError, match=r"evolved\.parquet is stale: evolve is not finished"):
        answered(run)


def test_an_interrupted_retry_goes_on_with_the_plain_command(tmp_path: Path, models: Opened) -> None:
    seeds, run = interrupted_retry(tmp_path, models)
    asked_in(models[EVOLVER])
    assert evolved(seeds, run).output.read_bytes() == undisturbed(tmp_path, seeds)
    assert not has_parts(run / "evolved.parquet")


# What was made of a file that is another now


@pytest.mark.parametrize("how", [{"retry_failed": True}, {"fresh": True}, {"fresh": True, "rounds": 2}])
def test_what_was_made_of_the_old_file_is_made_anew_by_the_plain_command(
    tmp_path: Path, models: Opened, how: dict[str, Any]
) -> None:
    seeds, run = with_failures(tmp_path, models)
    assert answered(run).counts["instructions"] == 3 * PART - 2
    asked_in(models[TEACHER])
    evolved(seeds, run, **how)
    assert read_manifest(run)["respond"].state == "stale"
    again = answered(run)
    assert again.counts["instructions"] == 3 * PART * how.get("rounds", 1)
    assert asked_in(models[TEACHER]) == again.counts["instructions"] - (3 * PART - 2)
    assert answered(run).already_done


def test_what_was_made_of_it_with_other_settings_is_refused(tmp_path: Path, models: Opened) -> None:
    seeds, run = with_failures(tmp_path, models)
    answered(run)
    evolved(seeds, run, retry_failed=True)
    before = (run / "responses.parquet").read_bytes()
    with pytest.raises(InputError, match="max_tokens: 2048 in the folder, 9 now"):
        answered(run, max_tokens=9)
    assert (run / "responses.parquet").read_bytes() == before


def test_a_retry_that_changed_nothing_leaves_what_was_made_of_it(tmp_path: Path, models: Opened) -> None:
    seeds, run = with_failures(tmp_path, models)
    answered(run)
    models[EVOLVER].reply = failing_for([PART + 1, PART + 2])
    evolved(seeds, run, retry_failed=True)
    assert answered(run).already_done
    assert read_manifest(run)["respond"].state == "done"


# --fresh, interrupted


def test_an_interrupted_fresh_goes_on_with_the_same_command(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its finished parts are neither made nor read from the call store again."""
    total, answered = 8 * PART, 2 * PART + KEPT_AFTER
    seeds, run = write_seeds(tmp_path, range(total)), tmp_path / "run"
    evolved(seeds, run)
    models[EVOLVER].reply = breaking_after(answered, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, rounds=2, fresh=True, concurrency=1)
    kept = sorted(path.stem for path in parts_folder(run / "evolved.parquet").iterdir())
    assert kept[:2] == ["000000", "000001"]
    read: list[bytes] = []
    get = CallStore.get
    monkeypatch.setattr(CallStore, "get", lambda store, key: (read.append(key), get(store, key))[1])
    models[EVOLVER].reply = longer
    again = evolved(seeds, run, rounds=2, fresh=True, concurrency=1)
    assert len(read) == 2 * (total - PART * len(kept))
    assert again.output.read_bytes() == undisturbed(tmp_path, seeds, rounds=2)


def test_an_interrupted_fresh_with_another_model_behind_the_name_is_made_anew(tmp_path: Path, models: Opened) -> None:
    seeds, run = with_failures(tmp_path, models)
    models[EVOLVER].reply = breaking_after(PART + 1, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, rounds=2, fresh=True, concurrency=1)
    model_is_another(pytest.MonkeyPatch(), models)
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    evolved(seeds, run, rounds=2, fresh=True)
    assert asked_in(models[EVOLVER]) == 6 * PART
    assert read_manifest(run)["evolve"].models == {EVOLVER: '{"weights":"others"}'}


def test_fresh_and_retry_failed_exclude_each_other(tmp_path: Path, models: Opened) -> None:
    seeds, run = with_failures(tmp_path, models)
    for out in (run, tmp_path / "new"):
        with pytest.raises(InputError, match="--fresh and --retry-failed exclude each other"):
            evolved(seeds, out, fresh=True, retry_failed=True)
    assert evolved(seeds, run).already_done


# A folder that is not the one that was begun in


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("after", [1, PART + 1])  # no part is being written then
def test_a_folder_that_was_made_again_meanwhile_gets_nothing(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch, after: int, stored: bool
) -> None:
    """Another command began in it: its store, its parts and its manifest are not ours, though all calls be stored."""
    seeds = write_seeds(tmp_path, range(3 * PART))
    run, read = tmp_path / "run", 0
    if stored:
        evolved(seeds, run)
    get = CallStore.get

    def replacing(store: CallStore, key: bytes) -> str | None:
        nonlocal read
        read += 1
        found = get(store, key)
        if read == after:
            shutil.rmtree(run)
            with RunFolder(run), closing(CallStore(run / CALLS)):
                parts_folder(run / "evolved.parquet").mkdir()
        return found

    monkeypatch.setattr(CallStore, "get", replacing)
    with pytest.raises(RunError, match="went away while it was being used\nStart the same command again"):
        evolved(seeds, run, concurrency=1, fresh=stored)
    assert not has_parts(run / "evolved.parquet")
    assert not (run / "manifest.json").exists()
    with closing(CallStore(run / CALLS)) as store:
        assert len(store) == 0
    assert evolved(seeds, run).output.read_bytes() == undisturbed(tmp_path, seeds)
