"""Auto Evol-Instruct and AutoIF offline, as a user runs them, with the model that ships with the package."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from evolvent.demo import SEEDS
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import read_records
from tests.e2e.command import evolvent, stop_at, stored_calls
from tests.sandbox.wall import needs_wall

SHORT = ["--max-tokens", "384"]
AUTO = ["evolve", str(SEEDS), "--method", "auto-evol-instruct", "--model", "embedded", *SHORT]
RULES = {"prompts": 1, "instructions_per_prompt": 5, "queries": 2, "responses": 4}
AUTOIF = ["evolve", "--method", "autoif", "--model", "embedded", "--queries", str(SEEDS), "--samples", "3", *SHORT]
AUTOIF += ["--limit", "8", *(text for rule in RULES.items() for text in ("--rule", "{}={}".format(*rule)))]
MADE = ("functions.jsonl", "sft.jsonl", "dpo.jsonl", "evolved.parquet", "responses.parquet")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_auto_evol_instruct_its_keywords_and_its_optimiser(tmp_path: Path) -> None:
    ended = evolvent(*AUTO, "--limit", "12", "--out", "run", folder=tmp_path)
    assert ended.status == 0, ended.errors
    evolved = [record for record in read_records(tmp_path / "run/evolved.parquet") if record.round]
    assert len(evolved) == 12
    passed = [record for record in evolved if record.status == "ok"]
    assert len(passed) >= 6
    assert all("#" not in record.instruction for record in passed)

    ended = evolvent("keywords", "run", "--model", "embedded", "--out", "keywords.json", folder=tmp_path)
    assert ended.status == 0, ended.errors
    named = json.loads((tmp_path / "keywords.json").read_text())
    assert len(named["keywords"]) > 5

    search = ["optimize-method", str(SEEDS), "--evolver", "embedded", "--optimizer", "embedded", *SHORT]
    search += ["--dev", "8", "--batch", "4", "--candidates", "3", "--steps", "2", "--out", "method.yaml"]
    ended = evolvent(*search, folder=tmp_path)
    assert ended.status == 0, ended.errors
    found = yaml.safe_load((tmp_path / "method.yaml").read_text())
    assert found["state"] == "finished"
    assert found["stopped"] == "the failure rate is 0" or len(found["steps"][0]["candidates"]) == 3
    ended = evolvent(*AUTO, "--limit", "4", "--method-file", "method.yaml", "--out", "better", folder=tmp_path)
    assert ended.status == 0, ended.errors
    versions = {record.prompt_version for record in read_records(tmp_path / "better/evolved.parquet") if record.round}
    assert versions == {found["version"]}


@pytest.fixture(scope="module")
def autoif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoif")
    ended = evolvent(*AUTOIF, "--out", "run", folder=folder)
    assert ended.status == 0, ended.errors
    return folder / "run"


@needs_wall
def test_autoif_makes_verified_answers(autoif: Path) -> None:
    functions = lines(autoif / "functions.jsonl")
    sft = lines(autoif / "sft.jsonl")
    assert functions and sft
    assert all("def evaluate" in one["code"] for row in functions for one in row["functions"])
    assert {row["meta"]["autoif"]["instruction"] for row in sft} <= {row["instruction"] for row in functions}
    funnel = {name: entry.counts["funnel"] for name, entry in read_manifest(autoif).items()}
    assert funnel["evolve"]["verified instructions"] == len(functions)
    assert funnel["respond"]["SFT rows"] == len(sft)
    ended = evolvent("verify", "run/sft.jsonl", "--functions", "run", "--out", "found.jsonl", folder=autoif.parent)
    assert ended.status == 0, ended.errors
    found = lines(autoif.parent / "found.jsonl")
    assert [row["accuracy"] for row in found] == [row["meta"]["autoif"]["accuracy"] for row in sft]


@needs_wall
def test_autoif_killed_in_two_stages_and_gone_on_with_is_the_same_run(autoif: Path, tmp_path: Path) -> None:
    calls = stored_calls(autoif)
    before_answers = stored_calls(autoif, "reply IS NOT NULL AND stage != 'respond'")
    for stop in (before_answers // 2, (before_answers + calls) // 2):
        killed = stop_at([*AUTOIF, "--out", "run"], tmp_path, tmp_path / "run", stop, signal.SIGKILL)
        assert killed.status == -signal.SIGKILL
    ended = evolvent(*AUTOIF, "--out", "run", folder=tmp_path)
    assert ended.status == 0, ended.errors
    for name in MADE:
        assert (tmp_path / "run" / name).read_bytes() == (autoif / name).read_bytes(), name


@needs_wall
def test_what_autoif_made_goes_on_to_scores_and_a_selection(autoif: Path) -> None:
    folder = autoif.parent
    ended = evolvent("score", "run", "--base-model", "embedded-base", "--out", "run", folder=folder)
    assert ended.status == 0, ended.errors
    ended = evolvent("select", "run", "--by", "ic_ifd", "--top", "50%", "--out", "best.jsonl", folder=folder)
    assert ended.status == 0, ended.errors
    assert len(lines(folder / "best.jsonl")) == len(lines(autoif / "sft.jsonl")) // 2
