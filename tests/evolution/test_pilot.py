"""The pilot: what it returns, what it leaves in the folder, and that its calls are those of the run that follows."""

from pathlib import Path
from typing import Any

import pytest

import evolvent
from evolvent.errors import BudgetReachedError, InputError
from evolvent.models import models as opened_models
from evolvent.runs.folder import RunFolder
from evolvent.runs.sampled import Pilot
from tests.evolution.piloted import EVOLVER, replies, write_seeds
from tests.scripted import Opened


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER,), replies)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


HOW: dict[str, Any] = {"model": EVOLVER, "rounds": 2, "breadth": False, "max_tokens": 500}


def pilot(tmp_path: Path, seeds: Path, **options: Any) -> Pilot:
    return evolvent.pilot(seeds, out=tmp_path / "run", **{**HOW, "pilot": 4, **options})


def test_each_profile_is_tried_on_the_same_seeds_of_the_run(tmp_path: Path, models: Opened) -> None:
    found = pilot(tmp_path, write_seeds(tmp_path, 10), price="1000,2000")
    assert (found.records, found.sampled, found.best, list(found.trials)) == (10, 4, "small", ["default", "small"])
    tried = [{row.id for row in trial.rows} for trial in found.trials.values()]
    assert tried[0] == tried[1] and len(tried[0]) == 12
    for trial in found.trials.values():
        out = sum(used.completion_tokens for used in trial.used.values())
        assert trial.counts["ok"] + trial.counts["eliminated"] == 8
        assert trial.expected.completion_tokens == round(out * 2.5)
        assert trial.expected.cost == pytest.approx(
            (trial.expected.prompt_tokens * 1000 + trial.expected.completion_tokens * 2000) / 1e6, rel=1e-3
        )
        assert trial.tokens_per_usable == out / trial.counts["ok"]
        assert trial.expected.seconds and trial.tokens_per_second
    assert found.trials["small"].share == 0.5 > found.trials["default"].share


def test_the_run_that_follows_makes_no_call_twice(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, 10)
    found = pilot(tmp_path, seeds)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "calls.sqlite"]
    run = evolvent.evolve(seeds, out=tmp_path / "run", profile="small", **HOW)
    asked = [(str(conversation), sampling) for conversation, (_, sampling) in conversations(models)]
    assert len(asked) == len(set(asked))
    assert run.made["calls"] == 20 - 8
    rows = {row.id: row.instruction for row in run}
    assert all(rows[row.id] == row.instruction for row in found.trials["small"].rows)
    again = pilot(tmp_path, seeds)
    assert {trial.tokens_per_second for trial in again.trials.values()} == {None}
    assert [trial.rows for trial in again.trials.values()] == [trial.rows for trial in found.trials.values()]


def conversations(models: Opened) -> list[Any]:
    return list(zip(models[EVOLVER].conversations, models[EVOLVER].asked, strict=True))


def test_a_dry_run_takes_the_length_of_replies_from_the_pilot(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, 10)
    found = pilot(tmp_path, seeds)
    for profile, trial in found.trials.items():  # each from its own calls: small has another limit
        estimate = evolvent.evolve(seeds, out=tmp_path / "run", profile=profile, dry_run=True, **HOW).estimate
        assert estimate is not None
        (made,) = trial.used.values()
        assert estimate.models[0].completion_tokens == pytest.approx(made.completion_tokens / made.calls * 20, abs=1)
        assert f"the mean of {made.calls} calls in this folder with this max-tokens" in estimate.models[0].replies
    other = evolvent.evolve(seeds, out=tmp_path / "run", dry_run=True, **{**HOW, "max_tokens": 300}).estimate
    assert other is not None and "calls in this folder" in other.models[0].replies


def test_the_folder_is_locked_meanwhile_and_the_budget_holds(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, 4)
    with RunFolder(tmp_path / "run"), pytest.raises(InputError, match="in use by another process"):
        pilot(tmp_path, seeds)
    with pytest.raises(BudgetReachedError, match="the budget is reached"):
        pilot(tmp_path, seeds, price="1000,1000", budget=1, concurrency=1)
    spent = len(models[EVOLVER].asked)
    assert 0 < spent < 8
    pilot(tmp_path, seeds)
    assert len(set(map(str, conversations(models)))) == len(models[EVOLVER].asked)


def test_what_is_no_option_of_a_pilot(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pilot takes no --profile"):
        evolvent.pilot("seeds", model=EVOLVER, out=tmp_path / "r", profile="small")
    with pytest.raises(InputError, match="unknown method 'autoif'"):
        evolvent.pilot("seeds", model=EVOLVER, out=tmp_path / "r", method="autoif")
