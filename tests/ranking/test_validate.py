"""Figures against measured performance: the published tables that ship, and files that are none."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from evolvent import rank_validate
from evolvent.errors import InputError
from evolvent.ranking.validate import PUBLISHED


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
        ({"candidates": ["a"]}, "1 candidates and 1 base models"),
        ({"base_models": {}}, "0 base models"),
        ({"base_models": {"m": {"grape": [1, 2, 3]}}}, "m has no performance"),
        ({"base_models": {"m": {"performance": [1, 2]}}}, "m: performance has 2 values for 3 candidates"),
        ({"base_models": 7}, "holds no measurements"),
        ({"base_models": {"m": {"performance": [1, 2, "3"]}}}, "m: performance holds '3', which is no number"),
        ({"every": {}, "base_models": {"m": {"performance": [1, 2, 3]}}}, "m has performance alone"),
        ({"lower": ["zise"]}, "lower names zise, which is no column"),
    ],
)
def test_files_that_are_none(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    (tmp_path / "m.json").write_text(json.dumps({**measurements(), **change}))
    with pytest.raises(InputError) as caught:
        rank_validate(tmp_path / "m.json")
    assert words in str(caught.value)


def test_a_missing_file_names_those_that_ship() -> None:
    with pytest.raises(InputError, match=f"Name a JSON file, or: {', '.join(sorted(PUBLISHED))}"):
        rank_validate("nowhere")
    assert not any(math.isnan(one.mean) for name in PUBLISHED for one in rank_validate(name).foretold)
