"""Orders by made-up scores: who has no figure, and why."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evolvent.ranking.figures import RankedBy, figures, itself
from evolvent.ranking.measured import Measured
from evolvent.ranking.order import Order, order
from evolvent.ranking.result import BaseRanking, Ranked, RankingVerdict
from evolvent.ranking.verdict import sentence
from evolvent.report.page.figures.ranking import _behind
from evolvent.report.ranking import ranking_tables

BY_X = RankedBy("x", ("x",), itself)
SHORT = {name: name for name in "abc"}
COSTS = {name: dict.fromkeys(("calls", "tokens in", "tokens out", "seconds", "cost"), 0.0) for name in "abc"}


@pytest.fixture
def found() -> Measured:
    """Three candidates that answer 20 questions: one's rewards are negative, one has none."""
    rewards = np.concatenate([np.linspace(1, 2, 20), np.linspace(-2, -1, 20), np.full(20, np.nan)])
    scores = {"reward": rewards, "response_loss": np.linspace(1, 2, 60), "response_rank": np.linspace(3, 9, 60)}
    of, seeds = np.repeat(np.arange(3), 20), np.tile(np.arange(20), 3)
    said = {"c": Counter({"reward: longer than the context of 512 tokens": 20, "judge_score: no reply": 30})}
    return Measured(list("abc"), of, seeds, scores, [20, 20, 20], said)


def orders(found: Measured, shifts: dict[str, float]) -> dict[str, Order]:
    made = figures(found.scores, 3.0, evolved=False, shifts=shifts)
    return {one.name: order(found, one, draws=200) for one in made}


def test_a_figure_that_there_is_not_has_its_reason(found: Measured) -> None:
    by = orders(found, {})
    assert by["car(reward)"].without == {
        "b": "its mean reward is below 0, or may be: a higher loss would raise its CAR; --shift-rewards shifts all "
        "rewards",
        "c": "none of its rows has it; 20 of them: reward: longer than the context of 512 tokens",
    }
    assert list(by["reward"].without) == ["c"] and not by["rsr"].without
    assert "c has none: none of its rows has it; 20" in sentence(by["reward"], SHORT)
    ranking = BaseRanking("embedded-base", list(by.values()), RankingVerdict(), [])
    whole = Ranked(Path(), Path(), dict.fromkeys("abc", Path()), {}, [ranking], {name: {} for name in "abc"}, COSTS)
    tables = list(ranking_tables(whole))
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert any("car(reward): b has none: its mean reward" in note for note in tables[-1].notes)


def test_shifted_rewards_have_a_car(found: Measured) -> None:
    shifts = found.shifts(("reward", "judge_score"))
    assert shifts == {"reward": 2.0}
    car = orders(found, shifts)["car(reward)"]
    assert {one.candidate: one.value for one in car.standings} == pytest.approx(
        {
            "a": 3.5 / (1 + 3 * found.scores["response_loss"][:20].mean()),
            "b": 0.5 / (1 + 3 * found.scores["response_loss"][20:40].mean()),
        }
    )


@pytest.mark.parametrize("rows", [20, 30])
def test_of_two_candidates_the_set_and_the_interval_say_the_same(rows: int) -> None:
    rng = np.random.default_rng(rows)
    apart = 0
    for _ in range(60):
        scores = np.concatenate([rng.gamma(0.5, size=rows), rng.normal(0.4, 0.3, size=rows)])  # one of them skewed
        of, seeds = np.repeat(np.arange(2), rows), np.tile(np.arange(rows), 2)
        found = order(Measured(["a", "b"], of, seeds, {"x": scores}, [rows] * 2), BY_X, draws=400)
        second = found.standings[1]
        assert second.in_set == (second.behind_low <= 0)
        apart += not second.in_set
    assert 0 < apart < 60


def test_fewer_than_twenty_seeds_tell_nobody_apart() -> None:
    scores = np.concatenate([np.linspace(1, 1.1, 19), np.linspace(0, 0.1, 19)])
    found = Measured(["a", "b"], np.repeat([0, 1], 19), np.tile(np.arange(19), 2), {"x": scores}, [19] * 2)
    by_x = order(found, BY_X)
    assert all(one.in_set for one in by_x.standings)
    assert sentence(by_x, {"a": "a", "b": "b"}) == (
        "x: a and b cannot be told apart (n = 19 seeds; 20 at the least would tell the first two apart)"
    )


def test_seeds_that_nobody_has_a_figure_of_are_not_counted() -> None:
    x = np.tile(np.linspace(1, 2, 40), 2)
    x[30:40] = x[60:] = np.nan
    found = Measured(["a", "b"], np.repeat(np.arange(2), 40), np.tile(np.arange(40), 2), {"x": x}, [30, 20])
    by_x = order(found, BY_X, draws=100)
    assert (by_x.seeds, [one.rows for one in by_x.standings]) == (30, [30, 20])
    assert "(n = 30 seeds, 20 to 30 rows each" in sentence(by_x, SHORT)


@pytest.mark.parametrize(
    ("seeds", "shared", "words", "caption"),
    [
        (range(25), 25, "(n = 25 seeds", "Paired, over 25 seeds, with"),
        (
            range(10, 35),
            15,
            "(n = 35 seeds, 25 rows each",
            "Over 35 seeds, paired on the 15 that",
        ),
        (
            range(25, 50),
            0,
            "(n = 50 seeds, none shared, 25 rows each",
            "Over 50 seeds, none of which two",
        ),
    ],
)
def test_candidates_are_paired_on_the_seeds_that_they_share(
    seeds: range, shared: int, words: str, caption: str
) -> None:
    x = np.random.default_rng(0).normal(size=50)
    of, both = np.repeat(np.arange(2), 25), np.array([*range(25), *seeds])
    by_x = order(Measured(["a", "b"], of, both, {"x": x}, [25, 25]), BY_X, draws=100)
    assert by_x.shared == shared and words in sentence(by_x, SHORT)
    assert caption in _behind(by_x, SHORT, "", "").caption


def test_rows_of_one_seed_have_no_order() -> None:
    found = Measured(["a", "b"], np.array([0, 1]), np.array([0, 0]), {"x": np.array([1.0, 2.0])}, [1, 1])
    assert order(found, BY_X).without == dict.fromkeys("ab", "all rows that have it are of one seed")
