"""An estimate as it is told."""

from dataclasses import replace

import pytest

from evolvent.runs.estimates import Estimate, ModelEstimate

ONE = ModelEstimate("openai:m", 1_200, 5_000, 600, 9_000, 12_000, 0.0042, 1.5, 30.0, "a tokenizer", "assumed", True)
ESTIMATE = Estimate("evolve", 400, 400, (ONE,), (("openai:m", ({"role": "user", "content": "Sing"},)),), None, 0)


def test_a_row_says_what_is_exact_and_what_is_about() -> None:
    (row,) = ESTIMATE.table().rows
    assert row == (
        *("openai:m", "1,200", "5,000", "9,000", "about 600", "12,000"),
        *("about 0.0042", "1.50", "about 30 s"),
    )
    (row,) = replace(ESTIMATE, models=(replace(ONE, exact=False),)).table().rows
    assert row[2] == "about 5,000"


def test_several_models_are_added_up_and_the_slowest_gives_the_time() -> None:
    both = replace(ESTIMATE, models=(ONE, replace(ONE, model="embedded", cost=0.0, cost_at_most=0.0, seconds=7_260.0)))
    assert both.table().rows[-1] == (
        *("together", "2,400", "10,000", "18,000", "about 1,200", "24,000"),
        *("about 0.0042", "1.50", "about 2.0 h"),
    )
    assert both.table().rows[1][6:8] == ("0", "0")
    unpriced = replace(both, models=(ONE, replace(ONE, cost=None, cost_at_most=None, seconds=None)))
    assert (unpriced.cost, unpriced.cost_at_most, unpriced.seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (120, "2.0 min"), (7_100, "118.3 min"), (90_000, "25.0 h")]
)
def test_time(seconds: float, words: str) -> None:
    (row,) = replace(ESTIMATE, models=(replace(ONE, seconds=seconds),)).table().rows
    assert row[-1] == f"about {words}"


def test_notes_say_what_the_figures_rest_on() -> None:
    assert ESTIMATE.notes()[:2] == [
        "evolve, rehearsed on all 400 records; nothing was called",
        "openai:m: tokens in by a tokenizer; tokens out: assumed",
    ]
    notes = "\n".join(replace(ESTIMATE, rehearsed=20, failing=(3, "refused"), stored=7).notes())
    assert "rehearsed on 20 of 400 records" in notes
    assert "3 rehearsed rows would fail; the first: refused" in notes
    assert "the folder holds 7 calls of this stage" in notes
    assert "no cost" not in notes
    assert "no time" not in notes


def test_prompts_are_shown_turn_by_turn() -> None:
    assert ESTIMATE.shown_prompts() == ["prompt 1, to openai:m\n[user]\nSing"]


def test_what_the_folder_holds_is_said_first() -> None:
    first, second, *_ = replace(ESTIMATE, differences=("rounds: 3 in the folder, 2 now", "seed: 0, 1")).notes()
    assert first == (
        "the folder holds evolve with other settings: rounds: 3 in the folder, 2 now; seed: 0, 1. "
        "Without --fresh it would be refused"
    )
    assert second.startswith("evolve, rehearsed on")
    first, *_ = replace(ESTIMATE, finished=True).notes()
    assert first == "evolve is finished in the folder with these settings: nothing would be called"
