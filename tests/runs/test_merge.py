"""Merging where something is in its way: a lost lease, other versions, folders that are not as they were."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evolvent import runs
from evolvent.errors import InputError, ModelUnavailableError, RunError
from evolvent.merge_run import merge
from evolvent.metrics.absent import NoScoresError
from evolvent.metrics.score import score
from evolvent.runs.folder import RunFolder
from evolvent.runs.lease import LEASE
from evolvent.runs.manifest import read_manifest
from tests.runs.staged import EVOLVER, KEPT_AFTER, OTHER, breaking_after, evolved, longer, write_seeds
from tests.runs.test_lease import of_another_machine, without_flock  # noqa: F401
from tests.scripted import Opened


def sharded(tmp_path: Path, of: int = 2, **options: Any) -> Path:
    seeds = write_seeds(tmp_path, range(16))
    for number in range(1, of + 1):
        evolved(seeds, tmp_path / "run", shard=f"{number}/{of}", **options)
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, str]:
    """All files of a folder and what they hold, but for what is being written and the lease."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.endswith(("-wal", "-shm", ".tmp")) and LEASE not in str(file)
    }


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize(
    "step", ["merge.merge_calls", "merge._gather", "merge._columns", "parts.write_group", "merge._paid"]
)
def test_a_merge_that_lost_its_folder_writes_no_more(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run, found = sharded(tmp_path), dict[str, str]()
    module, name = getattr(runs, step.partition(".")[0]), step.partition(".")[2]
    real = getattr(module, name)

    def losing(*given: Any) -> Any:
        if not found:
            found.update(contents(run))
            shutil.rmtree(run / LEASE)
            of_another_machine(run)
        return real(*given)

    monkeypatch.setattr(module, name, losing)
    with pytest.raises(RunError, match=r"was taken over by another process \(pid 41 on node7"):
        merge(run)
    assert contents(run) == found
    assert "evolve" not in read_manifest(run)


def versions(monkeypatch: pytest.MonkeyPatch, torch: str) -> None:
    monkeypatch.setattr("evolvent.runs.folder.versions", lambda: {"evolvent": "1", "torch": torch})


def test_versions_that_a_shard_was_gone_on_with_are_agreed_to(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seeds = tmp_path / "run", write_seeds(tmp_path, range(48))
    versions(monkeypatch, "2.0")
    evolved(seeds, run, shard="1/3")
    models[EVOLVER].reply = breaking_after(KEPT_AFTER, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, shard="2/3", concurrency=1)
    models[EVOLVER].reply = longer
    versions(monkeypatch, "2.1")
    with pytest.raises(InputError, match=r"was begun with other versions"):
        evolved(seeds, run, shard="2/3")
    evolved(seeds, run, shard="2/3", mix_versions=True)
    evolved(seeds, run, shard="3/3")
    merge(run)
    assert read_manifest(run)["evolve"].versions["torch"] == "2.0 and 2.1"


def test_other_versions_are_joined_where_that_is_asked_for(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seeds = tmp_path / "run", write_seeds(tmp_path, range(8))
    for number, torch in (1, "2.0"), (2, "2.1"):
        versions(monkeypatch, torch)
        evolved(seeds, run, shard=f"{number}/2")
    with pytest.raises(InputError, match=r"shard 2/2 was made with torch 2\.1, 1/2 with 2\.0\n(.|\n)*--mix-versions"):
        merge(run)
    merge(run, mix_versions=True)
    assert read_manifest(run)["evolve"].versions == {"evolvent": "1", "torch": "2.0 and 2.1"}


def test_a_metric_that_no_row_has_is_the_failure_that_it_is_on_one_machine(tmp_path: Path, models: Opened) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(f'{{"instruction": "Mend sock {n}", "output": "So."}}\n' for n in range(8)))
    models[OTHER].reply = lambda *_: "I would not say."
    for number in (1, 2):
        score(pairs, metrics=["judge_score"], judge=OTHER, out=tmp_path / "run", shard=f"{number}/2")
    errors = []
    for _ in range(2):
        with pytest.raises(NoScoresError) as raised:
            merge(tmp_path / "run")
        errors.append(raised.value.message)
    with pytest.raises(NoScoresError) as raised:
        score(pairs, metrics=["judge_score"], judge=OTHER, out=tmp_path / "one")
    assert errors == [raised.value.message] * 2
    assert (tmp_path / "run/scored.parquet").read_bytes() == (tmp_path / "one/scored.parquet").read_bytes()


def test_after_a_merge_the_store_is_one_file(tmp_path: Path, models: Opened) -> None:
    run = sharded(tmp_path)
    merge(run)
    assert {file.name for file in run.iterdir()} == {
        *(".lock", ".checked-seeds.sqlite", "calls.sqlite", "evolved.parquet", "manifest.json", "shards")
    }


def test_while_a_shard_is_made_and_while_the_folder_is_worked_in(tmp_path: Path, models: Opened) -> None:
    run = tmp_path / "run"
    evolved(write_seeds(tmp_path, range(16)), run, shard="1/2")
    with RunFolder(run / "shards" / "2-of-2"):
        with pytest.raises(RunError, match=r"1 of 2 shards are missing or not finished: 2\nSome are being made"):
            merge(run)
        with RunFolder(run), pytest.raises(InputError, match=r"folder .*run is in use by another process"):
            merge(run)
    (run / "shards" / "1-of-2" / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"holds no shards: .*shards has none that has begun"):
        merge(run)


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def a_link_to_nowhere(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def broken(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def of_another_form(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"stages": {"evolve": {"news": 1}}}')


def without_a_whole(folder: Path) -> None:
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    content["stages"]["evolve"]["whole"] = {}
    file.write_text(json.dumps(content))


def a_part_that_is_a_folder(folder: Path) -> None:
    part = folder / "evolved.parts" / "000000.parquet"
    part.unlink()
    part.mkdir()


AWAY = "Restore it; or move .*1-of-2 away, and make that shard again"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (emptied, r"1 of 2 shards are missing or not finished: 1"),
        (a_file, r"1-of-2 has the name of a shard's folder, and is none"),
        (a_link_to_nowhere, r"1-of-2 has the name of a shard's folder, and is none"),
        (broken, rf"1-of-2/manifest\.json is not a manifest of evolvent: .*\n{AWAY}"),
        (of_another_form, rf"it is of another form\n{AWAY}"),
        (without_a_whole, rf"records of evolve is 'None'\n{AWAY}"),
        (a_part_that_is_a_folder, r"parts are missing or damaged, of shards 1\n.*--shard K/N; stored"),
    ],
)
def test_what_is_no_shard_is_named(tmp_path: Path, models: Opened, spoil: Any, words: str) -> None:
    run = sharded(tmp_path)
    spoil(run / "shards" / "1-of-2")
    with pytest.raises((InputError, RunError), match=words):
        merge(run)
    assert not (run / "evolved.parquet").exists()


def test_other_names_are_no_shards_and_one_may_be_linked(tmp_path: Path, models: Opened) -> None:
    run = sharded(tmp_path)
    for name in ("0-of-2", "3-of-2", "01-of-2", "1-of-3"):
        (run / "shards" / name).mkdir()
    (run / "shards" / "2-of-2").rename(tmp_path / "elsewhere")
    (run / "shards" / "2-of-2").symlink_to(tmp_path / "elsewhere")
    [done] = merge(run)
    assert done.counts["seeds"] == 16 and (tmp_path / "elsewhere" / "evolved.parts").is_dir()


def test_calls_that_are_gone_are_named(tmp_path: Path, models: Opened, caplog: pytest.LogCaptureFixture) -> None:
    run = sharded(tmp_path)
    (run / "shards" / "2-of-2" / "calls.sqlite").unlink()
    merge(run)
    assert "2-of-2/calls.sqlite is gone: what needs one of its calls makes, and pays, it again" in caplog.text
