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


def test_the_published_correlations_are_of_19_candidates() -> None:
    """With n = 19 and no ties, (1 - rho) n (n² - 1) / 6 is an even whole number: for 43 of paper 2's 45 values."""
    table = [
        [0.5526, 0.7895, 0.8754, 0.7088, 0.7719, 0.1473, 0.5596, 0.5404, 0.8842],
        [0.5526, 0.7982, 0.8842, 0.8281, 0.8930, 0.1614, 0.4351, 0.6298, 0.9000],
        [0.4526, 0.7351, 0.7456, 0.7386, 0.8088, 0.0456, -0.0614, 0.6088, 0.8105],
        [0.6088, 0.8105, 0.9088, 0.7632, 0.8579, 0.0456, 0.6018, 0.5877, 0.9053],
        [0.6632, 0.8860, 0.9386, 0.7491, 0.8555, 0.1579, 0.6263, 0.5807, 0.9439],
    ]
    unit = 19 * (19**2 - 1) / 6
    whole = 0
    for rho in (value for row in table for value in row):
        squares = 2 * round((1 - rho) * unit / 2)
        whole += abs(1 - squares / unit - rho) < 0.5e-4 + 1e-9
    assert whole == 43


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
