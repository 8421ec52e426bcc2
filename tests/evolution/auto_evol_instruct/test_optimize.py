"""The stage optimize-method: its options, its files, its command, its dry run."""

import json
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError, RunError
from evolvent.evolution.auto_evol_instruct.history import read_method
from evolvent.evolution.auto_evol_instruct.method import Method
from evolvent.evolution.auto_evol_instruct.optimize import Optimizing, drawn, search_stage
from evolvent.evolution.auto_evol_instruct.search import STAGE
from evolvent.models.models import Models
from evolvent.models.protocols import Reply, Usage
from evolvent.options import Calling, Reading
from evolvent.runs.inputs import stage_input
from evolvent.runs.manifest import read_manifest
from tests.evolution.auto_evol_instruct.scripted_search import (
    BATCH,
    DEV,
    EVOLVER,
    OPTIMIZER,
    OTHER,
    SEEDS,
    Follow,
    Script,
    asked,
    command,
    content,
    method,
    optimized,
)


def test_what_it_returns(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    found = optimized(tmp_path / "m.yaml")
    assert (found.file, found.folder) == (tmp_path / "m.yaml", tmp_path / "m.run")
    assert found.method == read_method(tmp_path / "m.yaml") == Method(method(0))
    assert optimized(tmp_path / "m.yaml").method == found.method  # there is nothing to do
    assert optimized(tmp_path / "other.yaml", dry_run=True).method is None
    assert not isinstance(found, Iterable)  # an evolving method is no table of records


def test_the_command_shows_a_finished_search_whose_file_was_edited(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    first = command(tmp_path)
    assert (first.exit_code, "warning" in first.stderr) == (0, False)
    (tmp_path / "m.yaml").write_text("method: |\n  " + method(4).replace("\n", "\n  "))
    again = command(tmp_path)
    assert (again.exit_code, again.stderr) == (0, "")
    assert "nothing to do" in again.stdout
    first_table, again_table = (run.stdout.partition("optimize-method: the steps")[2] for run in (first, again))
    assert "candidate 1" in first_table
    assert first_table == again_table
    assert read_method(tmp_path / "m.yaml").text == method(4)


def test_a_dry_run_says_the_most_and_writes_nothing(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script())
    estimate = optimized(tmp_path / "m.yaml", dry_run=True, rounds=2, steps=4, price="1,2").estimate
    assert estimate is not None
    assert estimate.cost_at_most is None  # what is asked depends on replies
    assert {model.model: model.calls for model in estimate.models} == {
        EVOLVER: 2 * DEV + 4 * (2 * BATCH + 3 * 2 * DEV),
        OPTIMIZER: 4 * 3 * 2,
    }
    notes = estimate.lines
    assert notes[0].startswith(f"at most {2 * DEV + 4 * (2 * BATCH + 3 * 2 + 3 * 2 * DEV)} calls: 2 dev + steps (batch")
    assert notes[1].startswith(f"  evolver {2 * DEV + 4 * (2 * BATCH + 3 * 2 * DEV)}: ")
    assert notes[2].startswith(f"  optimizer {4 * 3 * 2}: ")
    assert asked(opened) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_stage_is_plain_data(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    given = Optimizing(evolver=EVOLVER, optimizer=OPTIMIZER, out=tmp_path / "m.yaml", dev=DEV, batch=BATCH)
    stage = search_stage(seeds, given, Reading(), Calling())
    sent = pickle.loads(pickle.dumps(stage))
    assert (sent.work, sent.settings, sent.needs) == (stage.work, stage.settings, stage.needs)
    assert stage.window is None


def test_models_of_the_caller_are_opened_once_and_stay_open(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    with Models() as models:
        optimized(tmp_path / "a.yaml", evolver=OTHER, optimizer=OTHER, models=models)
        optimized(tmp_path / "b.yaml", evolver=OTHER, optimizer=OTHER, models=models)
        assert [uri for uri, _ in opened.how] == [OTHER]
        assert not opened[OTHER].closed
    assert opened[OTHER].closed


BOUND: dict[str, Any] = {
    "evolver": OTHER,
    "optimizer": OTHER,
    "profile": "paper",
    "steps": 2,
    "candidates": 2,
    "batch": 2,
    "rounds": 2,
    "dev": 7,
    "pool": 20,
    "system": "Be terse.",
    "seed": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "optimizer_temperature": 0.5,
    "optimizer_top_p": 0.9,
    "max_tokens": 99,
    "extra_body": {"top_k": 20},
    "limit": 30,
}


def test_what_the_search_was_made_with_is_in_the_file(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    how = content(optimized(tmp_path / "m.yaml", system="Be terse.", seed=0).file)["how"]
    assert (how["evolver"], how["optimizer"], how["system"], how["dev"]) == (EVOLVER, OPTIMIZER, "Be terse.", DEV)
    assert (how["seeds"]["rows"], len(how["seeds"]["digest"])) == (40, 64)
    dev, _ = drawn(stage_input(SEEDS, before=None), DEV, 2000, 0)
    assert how["dev_rows"] == [row.seed_index for row in dev]
    # of the working folder's git repository nothing decides the file
    assert {"python", "evolvent"} <= set(how["versions"]) <= set(read_manifest(tmp_path / "m.run")[STAGE].versions)
    assert "git" not in how["versions"]


@pytest.mark.parametrize("name", BOUND)
def test_what_changes_the_output_binds_the_folder(tmp_path: Path, follow: Follow, name: str) -> None:
    follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml")
    with pytest.raises(InputError, match=f"\n  {name}: .* in the folder, .* now"):
        optimized(tmp_path / "m.yaml", **{name: BOUND[name]})


def test_fresh_makes_it_anew_and_pays_no_equal_call_again(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml")
    count = asked(opened)
    found = content(optimized(tmp_path / "m.yaml", steps=3, fresh=True).file)
    assert (found["how"]["steps"], asked(opened)) == (3, count)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"dev": 0}, "dev is 0"),
        ({"profile": "code"}, "unknown profile 'code'"),
        ({"dev": 39}, "has 40 rows, and 42 are needed"),
        ({"pool": 10}, "the pool is 10, and 11 are needed"),
        ({"evolver": "nothing"}, "unknown model"),
        ({"optimizer_temperature": 9}, "temperature is 9"),
        ({"out": Path("m.json")}, "is no YAML file"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, follow: Follow, options: dict[str, Any], words: str
) -> None:
    follow(Script())
    out = tmp_path / options.pop("out", "m.yaml")
    with pytest.raises(InputError, match=words):
        optimized(out, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_again_is_refused_before_anything_is_asked(tmp_path: Path, follow: Follow) -> None:
    os.mkfifo(tmp_path / "m.yaml")
    follow(Script())
    with pytest.raises(InputError, match="is not a regular file"):
        optimized(tmp_path / "m.yaml", fresh=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_a_file_that_no_search_made_is_not_overwritten(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    file = tmp_path / "m.yaml"
    file.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        optimized(file)
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]
    optimized(file, fresh=True)
    assert read_method(file).text == method(0)


def test_replies_without_text_are_asked_again(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "whole.yaml")
    for model in follow(Script()).values():
        model.reply = lambda *_: Reply("", "stop", Usage(5, 0))
    with pytest.raises(RunError, match=r"came to no answer in all \d+ rows of the dev set \(empty: "):
        optimized(tmp_path / "m.yaml")
    opened = follow(Script(6, {(1, 1): 0}))
    with pytest.raises(RunError, match="came to no answer"):
        optimized(tmp_path / "m.yaml")
    assert asked(opened) == 0
    optimized(tmp_path / "m.yaml", retry_empty=True)
    assert (tmp_path / "m.yaml").read_bytes() == (tmp_path / "whole.yaml").read_bytes()
