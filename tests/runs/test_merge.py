"""Merging where something is in its way: a lost lease, other versions, folders that are not as they were."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from evolvent import runs
from evolvent.errors import InputError, ModelUnavailableError, RunError
from evolvent.merge_run import merge
from evolvent.metrics.absent import NoScoresError
from evolvent.metrics.score import score
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
    "step", ["merge.merge_calls", "merge._gather", "merge._columns", "parts.write_group", "merge.spent_in"]
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
