"""Figures against measured performance: the published tables that ship, and files that are none."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from evolvent import rank_validate
from evolvent.errors import InputError
from evolvent.ranking.validate import PUBLISHED, validated
from evolvent.report.ranking import validation_table


def test_the_published_ranking_by_rsr() -> None:
    """arXiv 2601.14249: .86 with unrounded columns; from the published, rounded ones .847, and its rivals' values."""
    found = {one.figure: one for one in rank_validate("rank_surprisal_ratio").foretold}
    assert next(iter(found)) == "rsr"
    means = {name: round(one.mean, 3) for name, one in found.items()}
    assert (means["rsr"], means["rule_based_quality"], means["grace"], means["length"]) == (0.847, 0.649, 0.6, 0.531)
    assert {round(found[name].regret, 2) for name in ("rsr", "rule_based_quality", "grace")} == {0.6, 1.04, 2.52}


@pytest.mark.parametrize(("beta", "mean"), [(0.1, 0.613), (0.3, 0.635), (1, 0.646), (3, 0.571), (10, 0.527)])
def test_car_with_a_judge_in_the_place_of_the_reward(beta: float, mean: float) -> None:
    found = {one.figure: one.mean for one in rank_validate("rank_surprisal_ratio", beta=beta).foretold}
    assert found["car(judge_score)"] == pytest.approx(mean, abs=5e-4)


def test_eleven_candidates_do_not_tell_the_first_two_apart() -> None:
    found = rank_validate("rank_surprisal_ratio")
    assert found.lead_low < 0 < found.lead < found.lead_high


def test_stronger_is_not_better() -> None:
    """arXiv 2411.07133: the number of parameters says next to nothing of a teacher."""
    found = {one.figure: one for one in rank_validate("stronger_models").foretold}
    assert list(found) == ["billions_of_parameters"]  # a part of the students' outcome foretells nothing
    size = found["billions_of_parameters"]
    assert size.low < 0 < size.mean < 0.3


def test_which_side_is_good_is_known_of_our_own_scores(tmp_path: Path) -> None:
    content = measurements()
    content["base_models"]["m"] |= {"rsr": [3, 2, 1], "top1": [0.9, 0.8, 0.7], "instruction_ppl": [9, 5, 4]}
    (tmp_path / "m.json").write_text(json.dumps(content))
    found = {one.figure: one.mean for one in rank_validate(tmp_path / "m.json").foretold}
    assert (found["rsr"], found["top1"], found["instruction_ppl"]) == (1, 1, 1)


def test_a_figure_without_a_value_is_last(tmp_path: Path) -> None:
    content = measurements()
    content["base_models"]["m"] |= {"constant": [1, 1, 1]}
    (tmp_path / "m.json").write_text(json.dumps(content))
    found = rank_validate(tmp_path / "m.json")
    assert [one.figure for one in found.foretold] == ["grape", "size", "constant"]
    assert found.lead == pytest.approx(1.5)


def test_a_judges_score_and_a_loss_make_a_car(tmp_path: Path) -> None:
    content = measurements()
    content["base_models"]["m"] |= {"judge_score": [1, 2, 3], "response_loss": [0.5, 0.6, 0.4]}
    (tmp_path / "m.json").write_text(json.dumps(content))
    assert "car(judge_score)" in {one.figure for one in rank_validate(tmp_path / "m.json").foretold}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"reward": [-3, 5, 4], "response_loss": [0.5, 0.6, 0.4]}, "car(reward) has none: not every candidate has it"),
        ({"constant": [1, 1, 1]}, "constant has none: it, or the performance, is the same of all candidates for m"),
        ({"performance": [1, 1, 1]}, "grape has none: it, or the performance, is the same of all candidates for m"),
    ],
)
def test_a_figure_without_a_correlation_has_its_reason_and_no_interval(
    tmp_path: Path, column: dict[str, Any], words: str
) -> None:
    content = measurements()
    content["base_models"]["m"] |= column
    (tmp_path / "m.json").write_text(json.dumps(content))
    found = rank_validate(tmp_path / "m.json")
    table = validation_table(found)
    assert any(note.startswith(words) for note in table.notes) and "nan" not in str(table)
    none = [one for one in found.foretold if one.lacking]
    assert none and all(math.isnan(one.low) and not one.in_set for one in none)


def test_of_many_figures_the_first_is_not_said_to_be_better_for_that_alone() -> None:
    """Twelve figures of noise: the first two, which the data put first, are apart by their own interval at times."""
    rng = np.random.default_rng(3)
    truth = {"m": rng.normal(size=15)}
    found = [validated("", {str(n): {"m": rng.normal(size=15)} for n in range(12)}, truth, 500) for _ in range(20)]
    assert sum(not all(one.in_set for one in each.foretold) for each in found) <= 2


PAPER_2 = """
.5526 .7895 .8754 .7088 .7719 .1473 .5596 .5404 .8842
.5526 .7982 .8842 .8281 .8930 .1614 .4351 .6298 .9000
.4526 .7351 .7456 .7386 .8088 .0456 -.0614 .6088 .8105
.6088 .8105 .9088 .7632 .8579 .0456 .6018 .5877 .9053
.6632 .8860 .9386 .7491 .8555 .1579 .6263 .5807 .9439
"""


def test_what_paper_2_prints_is_of_nineteen_teachers_who_cannot_tell_car_from_a_reward_model() -> None:
    """Its table 4, a row a base model; its third column is the best reward model, its last CAR."""
    table = np.array([row.split() for row in PAPER_2.strip().splitlines()], float)
    possible = 1 - 6 * np.arange(0, 19 * 360, 2) / (19 * 360)  # without ties, sums of squared differences are even
    can_be = (np.abs(table[:, :, None] - possible) < 5.1e-5).any(axis=2)
    assert can_be.sum() == 43 and table.size == 45
    reward, car = table.mean(axis=0)[[2, 8]]
    assert (round(reward, 4), round(car, 4)) == (0.8705, 0.8888)
    low = np.tanh(np.arctanh(car) - norm.ppf(0.975) * np.sqrt(1.06 / 16))  # Fisher's z, with Fieller's variance
    assert round(low, 2) == 0.72 and low < reward


def test_the_regret_by_chance_is_that_of_a_drawn_candidate(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(measurements()))
    found = rank_validate(tmp_path / "m.json")
    assert found.chance == pytest.approx(4 - (1 + 2 + 4) / 3)
    assert [(one.figure, one.mean) for one in found.foretold] == [("grape", 1.0), ("size", -0.5)]


def measurements() -> dict[str, Any]:
    return {
        "candidates": ["a", "b", "c"],
        "every": {"size": [7, 70, 1]},
        "base_models": {"m": {"performance": [1, 2, 4], "grape": [-3, -2, -1]}},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidates": ["a"]}, "candidates: 1, base models: 1"),
        ({"base_models": {}}, "base models: 0"),
        ({"base_models": {"m": {"grape": [1, 2, 3]}}}, "m has no performance"),
        ({"base_models": {"m": {"performance": [1, 2]}}}, "m: performance has 2 values for 3 candidates"),
        ({"base_models": 7}, "holds no measurements"),
        ({"base_models": {"m": {"performance": [1, 2, "3"]}}}, "m: performance holds '3', which is no number"),
        ({"every": {}, "base_models": {"m": {"performance": [1, 2, 3]}}}, "m has performance alone"),
        ({"lower": ["zise"]}, "lower names zise, which is no column"),
        ({"lower": ["performance"]}, "lower names performance, of which high is good"),
    ],
)
def test_files_that_are_none(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    (tmp_path / "m.json").write_text(json.dumps({**measurements(), **change}))
    with pytest.raises(InputError) as caught:
        rank_validate(tmp_path / "m.json")
    assert words in str(caught.value)


def test_what_is_no_json_says_where(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{\n"candidates": [1,]}')
    with pytest.raises(InputError, match=r"m\.json is not JSON: line 2, column 17: "):
        rank_validate(tmp_path / "m.json")


def test_a_missing_file_names_those_that_ship() -> None:
    with pytest.raises(InputError, match=f"Name a JSON file, or: {', '.join(sorted(PUBLISHED))}"):
        rank_validate("nowhere")
    assert not any(math.isnan(one.mean) for name in PUBLISHED for one in rank_validate(name).foretold)
