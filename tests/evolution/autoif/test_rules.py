"""AutoIF's constants by profile, and other values in their place."""

from dataclasses import fields

import pytest

from evolvent.errors import InputError
from evolvent.evolution.autoif.rules import PROFILES, Bound, Rules, changed


def test_what_the_profiles_say() -> None:
    paper, code, paper1 = (PROFILES[name] for name in ("autoif-paper", "autoif-code", "paper1"))
    assert (paper.samples, paper.queries, paper.responses, paper.prompts) == (8, 16, 8, 100)
    assert (str(paper.case_share), str(paper.function_share), str(paper.response_share)) == (">0.5", ">0.5", ">0.5")
    assert (str(code.case_share), str(code.function_share), str(code.response_share)) == (">0", ">=0.8", ">0")
    assert (code.least_functions, code.least_cases, paper.least_functions, paper.least_cases) == (3, 10, 1, 1)
    assert (str(paper.quality), str(code.quality), str(code.chosen_share)) == (">=8", ">8", ">=0.5")
    assert (paper1.back_translated, paper1.responses, paper1.response_share, paper1.quality) == (0, 1, None, None)


@pytest.mark.parametrize(
    ("bound", "passing", "failing"),
    [(">0.5", [0.51, 1.0], [0.5, 0.0]), (">=0.8", [0.8, 1.0], [0.79]), (">0", [0.125], [0.0]), (">= 8", [8, 9], [7.5])],
)
def test_bounds(bound: str, passing: list[float], failing: list[float]) -> None:
    read = Bound.parse(bound)
    assert all(read.passes(figure) for figure in passing)
    assert not any(read.passes(figure) for figure in failing)
    assert Bound.parse(str(read)) == read


def test_constants_can_be_changed_one_by_one() -> None:
    rules = changed(PROFILES["autoif-code"], {"samples": "4", "case_share": ">=0.6", "quality": "none", "prompts": 0})
    assert (rules.samples, rules.case_share, rules.quality, rules.prompts) == (4, Bound(0.6, True), None, 0)
    assert changed(Rules(), {}) == Rules()
    assert not changed(Rules(), {"over_kept_cases": "false"}).over_kept_cases
    for field in fields(Rules):  # every constant can be given as it is written in a manifest
        value = getattr(Rules(), field.name)
        assert getattr(changed(Rules(), {field.name: str(value)}), field.name) == value


def test_the_highest_bounds_and_the_lowest_numbers() -> None:
    highest = {"case_share": ">=1", "quality": ">=10", "least_functions": 8}
    lowest = {"query_longer_than": 0, "back_translated": 0, "prompts": 0}
    rules = changed(Rules(), {**highest, **lowest})
    assert (rules.case_share.value, rules.quality, rules.query_longer_than) == (1.0, Bound(10, True), 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampels": 3}, "no rule 'sampels'"),
        ({"samples": "many"}, "rule samples is 'many': it is a whole number"),
        ({"samples": 0}, "rule samples is 0"),
        ({"samples": 10_001}, "rule samples is 10,001"),
        ({"samples": 2.5}, "rule samples is 2.5"),
        ({"case_share": 0.5}, "no bound such as >0.5"),
        ({"case_share": "<0.5"}, "no bound such as >0.5"),
        ({"case_share": "none"}, "cannot be left out"),
        ({"over_kept_cases": "yes"}, "true or false"),
        ({"case_share": ">50"}, "case_share is >50: nothing passes it"),
        ({"function_share": ">1"}, "function_share is >1: nothing passes it"),
        ({"response_share": ">=1.1"}, "response_share is >=1.1: nothing passes it"),
        ({"quality": ">10"}, "quality is >10: nothing passes it"),
        ({"least_functions": 9}, "least_functions is 9 and samples is 8"),
    ],
)
def test_what_no_constant_can_be(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        changed(Rules(), changes)
