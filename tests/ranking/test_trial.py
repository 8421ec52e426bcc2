"""A trial: what its students decide, by made-up ones, and one that is really trained."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evolvent import rank_data
from evolvent.errors import InputError, RunError
from evolvent.options import Reading
from evolvent.ranking import students, trial
from evolvent.ranking.result import Ranked, read_result
from evolvent.ranking.students import Student
from evolvent.records import Record
from evolvent.report.ranking import ranking_tables, verdicts
from evolvent.training.rows import open_examples
from tests.report.page.runs import write

pytest.importorskip("lm_eval")
pytest.importorskip("trl")
from safetensors.torch import load_file, save_file

BASE: dict[str, Any] = {"base_model": ["embedded-base"], "trial": True, "trial_tasks": ["embedded_forms"]}
NAMES = ("good", "fair", "poor")


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    """Three data sets that answer the same 60 questions, the poorer the longer."""
    for place, name in enumerate(NAMES):
        rows = [{"instruction": f"What is {n} plus 2?", "output": f"{'So. ' * place}{n + 2}."} for n in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: str(tmp_path / f"{name}.jsonl") for name in NAMES}


class MadeUp:
    """Students that are right as often as their candidate's name says, and what they were made with."""

    def __init__(self, shares: Mapping[str, float], *, fall: float = 0.8, fails: bool = True) -> None:
        self.shares, self.fall, self.fails = shares, fall, fails
        self.made: list[tuple[str, int, int]] = []

    def base_losses(self, _: str, held_out: Path, *__: object, **___: object) -> np.ndarray:
        return np.linspace(1.0, 2.0, len(held_out.read_text().splitlines()))

    def student(self, rows: Path, held_out: Path, *_: object, seed: int, **__: object) -> Student:
        name = rows.parent.parent.name
        if self.shares[name] < 0 and self.fails:
            raise RunError("the loss is nan at step 3")
        rng = np.random.default_rng([seed, *name.encode()])
        self.made.append((name, seed, len(rows.read_text().splitlines())))
        curve = 2 - self.fall * np.linspace(0, 1, 30) + rng.normal(0, 0.05, 30)
        right = (np.linspace(0, 1, 200, endpoint=False) < self.shares[name] + rng.normal(0, 0.01)).astype(float)
        losses = self.base_losses("", held_out)
        units = {"embedded_forms": [(str(n), "") for n in range(len(right))]}
        return Student(list(curve), {"embedded_forms": right}, units, losses - 0.2 + rng.normal(0, 0.02, len(losses)))


def ranked(made: MadeUp, data: Mapping[str, str], out: Path, **how: Any) -> Ranked:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "student", made.student)
        patch.setattr(trial, "base_losses", made.base_losses)
        return rank_data(data, **{**BASE, **how}, out=out)


def said(found: Ranked) -> str:
    tables = " ".join(str(table) for table in ranking_tables(found))
    return " ".join([tables, *verdicts(found)])


def test_the_trial_decides(tmp_path: Path, data: dict[str, str]) -> None:
    made = MadeUp({"good": 0.6, "fair": 0.5, "poor": 0.2})
    found = ranked(made, data, tmp_path / "run")
    assert [seed for _, seed, _ in made.made] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert {rows for *_, rows in made.made} == {48}  # a fifth is held out
    order = found.rankings[0].orders[-1]
    assert (order.figure, order.seeds, order.students) == ("trial:embedded_forms", 200, 3)
    assert [one.candidate for one in order.standings] == list(NAMES)
    assert found.rankings[0].verdict.decided == "the trial decides: good"
    [foretold] = found.foretold
    assert foretold.candidates == 3 and {one.figure for one in foretold.foretold} == {"ifd", "ic_ifd", "grape", "rsr"}
    text = said(found)
    assert "n = 200 items x 3 students" in text and "two training seeds agree on the order of candidates" in text
    plan = json.loads((tmp_path / "run/plan.json").read_text())
    assert "The trial decides" in plan["rule"] and plan["trial"]["students"] == 9
    assert (plan["figures"]["rsr"], plan["figures"]["grape"]) == ("low is good", "high is good")
    assert plan["trial"]["scored_by"] == {"embedded_forms": ["right"]}
    written = json.loads((tmp_path / "run/ranking.json").read_text())["rankings"][0]
    assert written["trial"]["rows"] == 48 and written["figures"][-1]["students"] == 3
    again = read_result(tmp_path / "run")
    assert again is not None and (again.foretold, again.rankings) == (found.foretold, found.rankings)


def test_a_trial_that_is_not_sufficient_ranks_nothing(tmp_path: Path, data: dict[str, str]) -> None:
    found = ranked(MadeUp({"good": 0.6, "fair": 0.5, "poor": 0.2}, fall=0.0), data, tmp_path / "run")
    order = found.rankings[0].orders[-1]
    assert not order.standings and not found.foretold
    assert order.without["good"].startswith("the trial is not sufficient: the training loss fell by")
    assert "the trial decides nothing" in said(found)


def test_students_are_tested_on_their_own_kind_of_rows(tmp_path: Path, data: dict[str, str]) -> None:
    """What each gains on its own held-out rows it loses on the others': together nothing has moved."""
    made = MadeUp({"good": 0.6, "fair": 0.5, "poor": 0.2})
    plain = made.student

    def specialised(rows: Path, held_out: Path, *of: object, **how: Any) -> Student:
        one, name = plain(rows, held_out, *of, **how), NAMES.index(rows.parent.parent.name)
        change = np.repeat([-1.0 if place == name else 0.5 for place in range(3)], len(one.losses) // 3)
        return replace(one, losses=made.base_losses("", held_out) + change)

    made.student = specialised  # type: ignore[method-assign]
    found = ranked(made, data, tmp_path / "run").rankings[0]
    assert found.trial is not None and {one.change for one in found.trial.learned.values()} == {-1.0}
    assert found.verdict.decided == "the trial decides: good"


def test_a_task_that_all_pass_or_fail_says_so(tmp_path: Path, data: dict[str, str]) -> None:
    found = ranked(MadeUp({"good": -0.5, "fair": -0.5, "poor": -0.5}, fails=False), data, tmp_path / "run").rankings[0]
    [words] = found.verdict.by_task.values()
    assert "every student scores 0 on every item: the task is too hard for them" in words
    assert str(found.verdict.decided).startswith("the trial decides nothing")
    assert found.verdict.left_by_trial is None


def test_no_student_is_trained_in_vain(tmp_path: Path, data: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"10 steps are too few to tell whether they learn: 12 at the least"):
        ranked(MadeUp({}), data, tmp_path / "run", trial_rows=20, trial_set={"num_train_epochs": "5"})
    made = MadeUp({"good": 0.6, "fair": 0.5, "poor": 0.2})
    found = ranked(made, data, tmp_path / "run", trial_rows=200, trial_set={"num_train_epochs": "3"}).rankings[0]
    assert not made.made  # of 200 rows there would be 39 steps, of the 48 there are there are 9
    assert "9 steps are too few" in found.verdict.by_task["trial:embedded_forms"]


def test_items_that_stand_or_fall_together_are_one() -> None:
    """Two chains of two items, and two kinds of which one has three of four items: by hand."""
    scores = {"t": np.array([1.0, 1.0, 1.0, 0.0])}
    units = {"t": [("a", "x"), ("a", "x"), ("b", "x"), ("b", "y")]}
    values, left_out = trial._of_task("t", {"one": [Student([], scores, units, np.empty(0))] * 3})
    assert (values.shape, left_out) == ((2, 3, 1), 0)
    assert values.mean() == pytest.approx((1 + 0) / 2)  # of kinds: x 1, y 0
    assert values[:, 0, 0].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_the_time_left_is_by_the_students_that_are_made_now(
    tmp_path: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nine students four are there already, each read in 0.4 s; the others take a minute."""
    made, now, told = MadeUp({"good": 0.6, "fair": 0.5, "poor": 0.2}), [0.0], list[str]()
    plain = made.student

    def kept(*of: Any, **how: Any) -> Student:
        one = replace(plain(*of, **how), new=len(made.made) > 4)
        now[0] += 60 if one.new else 0.4
        return one

    made.student = kept  # type: ignore[method-assign]
    monkeypatch.setattr(trial, "say", told.append)
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ranked(made, data, tmp_path / "run", progress=True)
    lines = [line.partition("seed ")[2] for line in told if ": student " in line]
    assert lines[:4] == [f"{seed}: there already" for seed in (0, 0, 0, 1)]
    left = [line.rpartition("; ")[2] for line in lines[4:]]
    assert left[:-1] == ["4.0 min left", "3.0 min left", "2.0 min left", "60 s left"]
    assert "left" not in left[-1]


def test_students_are_trained_on_rows_whose_rounds_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the page can draw what students score over the rounds of their data."""
    for round in (1, 2):
        rows = [
            Record(f"{n}/r{round}", f"{n}", n, f"What is {n} plus {round}?", output=f"{n}.", round=round, evolver="e")
            for n in range(60)
        ]
        write(tmp_path / f"of-{round}", "respond", rows)
    made, rounds = MadeUp({"one": 0.6, "two": 0.2}), dict[str, set[tuple[int, str | None]]]()
    plain = made.student

    def read(rows: Path, *of: Any, **how: Any) -> Student:
        examples = open_examples(rows, "sft", Reading())
        rounds[rows.parent.parent.name] = {(one.round, one.evolver) for one in examples}
        return plain(rows, *of, **how)

    made.student = read  # type: ignore[method-assign]
    ranked(made, {"one": str(tmp_path / "of-1"), "two": str(tmp_path / "of-2")}, tmp_path / "run")
    assert rounds == {"one": {(1, "e")}, "two": {(2, "e")}}


def test_a_candidate_without_students_is_left_out_and_the_others_stand(tmp_path: Path, data: dict[str, str]) -> None:
    found = ranked(MadeUp({"good": 0.6, "fair": 0.5, "poor": -1}), data, tmp_path / "run")
    assert found.rankings[0].orders[-1].without == {"poor": "the loss is nan at step 3"}
    assert found.rankings[0].verdict.left_by_trial == ["good"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trial_tasks": []}, "no task is named"),
        ({"trial": False}, "--trial-tasks is for a trial"),
        ({"trial_tasks": ["followbench"]}, "followbench needs a model that judges"),
        ({"trial_set": {"lr": "1"}}, "--trial-set has no 'lr'"),
        ({"trial_tasks": ["gsm8k"], "trial_data": "nowhere"}, "task gsm8k needs"),
        ({"trial_tasks": ["followbench"], "judge": "openai:j?base_url=http://x:1/v1"}, "holds them: --trial-data DIR."),
    ],
)
def test_what_is_no_trial(tmp_path: Path, data: dict[str, str], given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        rank_data(data, **{**BASE, **given}, out=tmp_path / "run")
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_extra_that_is_not_there_is_missed_before_anything_is_called(
    tmp_path: Path, data: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(students, "EXTRAS", {"no_such_module": "train"})
    with pytest.raises(InputError, match=r"no_such_module is not installed\n.*evolvent\[train\]"):
        rank_data(data, **BASE, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_is_made_once_and_again_of_other_rows(tmp_path: Path, data: dict[str, str]) -> None:
    rows, folder = Path(data["good"]), tmp_path / "run/trial/seed-0"
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text('{"instruction": "What is 70 plus 2?", "output": "72."}\n' * 3)
    quick = {"learning_rate": "1e-3", "num_train_epochs": "0.5", "batch_size": "4"}
    given = students.Trial(trial=True, trial_tasks=("embedded_sums",), trial_limit=2, trial_set=quick)

    def made() -> Student:
        return students.student(
            rows, held_out, folder, "embedded-base", given, seed=0, judge=None, progress=False, fresh=False
        )

    first = made()
    assert first.new and len(first.curve) == 8
    assert first.scores["embedded_sums"].shape == (2,) and first.losses.shape == (3,)
    weights = (folder / "student/model.safetensors").stat()
    again = made()
    assert np.array_equal(again.losses, first.losses) and not again.new
    assert (folder / "student/model.safetensors").stat().st_mtime_ns == weights.st_mtime_ns
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:32]))
    held_out.write_text('{"instruction": "What is 71 plus 2?", "output": "73."}\n' * 2)
    assert len(made().curve) == 4 and made().losses.shape == (2,)


def test_held_out_losses_are_those_of_the_model_that_is_asked_for(tmp_path: Path) -> None:
    """Two models' losses in one folder: each has columns of its own."""
    held_out, calls = tmp_path / "held_out.jsonl", {"progress": False}
    held_out.write_text('{"instruction": "What is 70 plus 2?", "output": "72."}\n' * 3)
    first = students.base_losses("embedded-base-sums", held_out, tmp_path / "losses", **calls)
    second = students.base_losses("embedded-base", held_out, tmp_path / "losses", **calls)
    assert np.array_equal(second, students.base_losses("embedded-base", held_out, tmp_path / "own", **calls))
    assert first[0] != second[0]


def test_a_plan_knows_the_weights_of_its_base_models_and_their_folders(tmp_path: Path) -> None:
    for name in ("a b", "a_b"):
        shutil.copytree(str(files("evolvent") / "models/embedded/base-sums"), tmp_path / name)
    given = students.Trial(trial=True, trial_tasks=("embedded_sums",))
    one, other = (f"hf:{tmp_path / name}" for name in ("a b", "a_b"))
    with pytest.raises(InputError, match="would have one folder"):
        students.check_trial(given, [one, other], None)
    before = students.check_trial(given, [one], None)
    weights = load_file(tmp_path / "a b/model.safetensors")
    save_file({name: 2 * of for name, of in weights.items()}, tmp_path / "a b/model.safetensors", {"format": "pt"})
    assert students.check_trial(given, [one], None)["base_models"] != before["base_models"]


def test_another_seed_is_a_repetition(tmp_path: Path, data: dict[str, str]) -> None:
    made = MadeUp({"good": 0.6, "fair": 0.5, "poor": 0.2})
    ranked(made, data, tmp_path / "run", seed=1)
    assert {seed for _, seed, _ in made.made} == {3, 4, 5}
