"""The whole path offline with the models that ship with the package."""

import json
import signal
from pathlib import Path

import pytest

from evolvent.demo import SEEDS
from evolvent.runs.record_files import read_records
from tests.e2e.command import evolvent, stop_at, stored_calls
from tests.processes import slowness

DEMO = ("demo", "--model", "embedded")  # whatever this environment has


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    ended = evolvent(*DEMO, folder=folder, timeout=900)
    assert ended.status == 0, ended.errors
    (folder / "output.txt").write_text(ended.output)
    return folder


def test_the_demo_makes_a_training_set(demo: Path) -> None:
    seeds = SEEDS.read_text().splitlines()
    evolved = list(read_records(demo / "demo/evolved.parquet"))
    assert len(evolved) == 4 * len(seeds)
    survived = [row for row in evolved if row.round and row.status == "ok"]
    assert len(survived) > 0.9 * 3 * len(seeds)
    scored = list(read_records(demo / "demo/scored.parquet"))
    assert len(scored) > 0.9 * len(survived)
    assert all(isinstance(row.scores["ic_ifd"], float) for row in scored)
    selected = [json.loads(line) for line in (demo / "demo/selected.jsonl").read_text().splitlines()]
    assert len(selected) == int(0.5 * len(scored))
    assert all([turn["role"] for turn in row["messages"]] == ["user", "assistant"] for row in selected)
    output = (demo / "output.txt").read_text()
    for name in (
        "evolved.parquet",
        "responses.parquet",
        "scored.parquet",
        "selected.jsonl",
        "not for training",
        "what came through",
        "a student, before and after",
    ):
        assert name in output


def test_the_selected_have_the_highest_scores(demo: Path) -> None:
    scored = list(read_records(demo / "demo/scored.parquet"))
    best = sorted(scored, key=lambda row: (-float(row.scores["ic_ifd"] or 0), row.id))[: len(scored) // 2]
    selected = [json.loads(line)["meta"]["id"] for line in (demo / "demo/selected.jsonl").read_text().splitlines()]
    assert sorted(selected) == sorted(row.id for row in best)


def test_the_demo_again_has_nothing_to_do(demo: Path) -> None:
    before = {
        path.name: path.read_bytes() for path in (demo / "demo").iterdir() if path.suffix in (".parquet", ".jsonl")
    }
    again = evolvent(*DEMO, folder=demo)
    assert again.status == 0
    assert again.output.count("was done already") == 6
    assert {name: (demo / "demo" / name).read_bytes() for name in before} == before


def test_interrupted_killed_and_gone_on_with_it_is_the_same_run(demo: Path, tmp_path: Path) -> None:
    interrupted = stop_at(DEMO, tmp_path, tmp_path / "demo", 5, signal.SIGINT)  # while the model writes
    assert interrupted.status == 130
    assert interrupted.seconds < 2 * slowness()
    assert interrupted.errors.strip().endswith("start the same command again to go on")
    calls = stored_calls(demo / "demo")
    killed = stop_at(DEMO, tmp_path, tmp_path / "demo", calls // 3, signal.SIGKILL)
    assert killed.status == -signal.SIGKILL
    assert 0 < stored_calls(tmp_path / "demo") < calls
    assert evolvent(*DEMO, folder=tmp_path, timeout=900).status == 0
    for name in ("evolved.parquet", "responses.parquet", "scored.parquet", "selected.jsonl", "evaluated.parquet"):
        assert (tmp_path / "demo" / name).read_bytes() == (demo / "demo" / name).read_bytes(), name


def test_judge_and_paper_profile(tmp_path: Path) -> None:
    arguments = ["evolve", SEEDS, "--model", "embedded", "--limit", "8", "--max-tokens", "128", "--rounds", "1"]
    assert evolvent(*arguments, "--judge", "embedded", "--out", "judged", folder=tmp_path).status == 0
    judged = list(read_records(tmp_path / "judged/evolved.parquet"))
    assert evolvent(*arguments, "--profile", "paper", "--out", "paper", folder=tmp_path).status == 0
    paper = list(read_records(tmp_path / "paper/evolved.parquet"))
    assert {row.status for row in paper} == {"ok"}
    assert [row.operator for row in judged] == [row.operator for row in paper]
    assert stored_calls(tmp_path / "judged", "stage = 'evolve'") > 8
