"""Whether two rankings agree."""

import math

import pytest

from evolvent.ranking.agreement import agreement


def test_a_ranking_agrees_with_itself_and_is_against_its_reverse() -> None:
    truth = [3.0, 1.0, 2.0, 5.0]
    same, reverse = agreement(truth, truth), agreement([-value for value in truth], truth)
    assert (same.spearman, same.kendall, same.regret) == (1, 1, 0)
    assert (reverse.spearman, reverse.kendall, reverse.regret) == (-1, -1, 4)


def test_equal_values_share_their_rank() -> None:
    """By hand: ranks 1.5 1.5 3 against 1 2 3 have a correlation of 1.5 / sqrt(1.5 · 2); tau-b is 2 / sqrt(2 · 3)."""
    found = agreement([1, 1, 2], [1, 2, 3])
    assert found.spearman == pytest.approx(1.5 / math.sqrt(1.5 * 2))
    assert found.kendall == pytest.approx(2 / math.sqrt(2 * 3))


def test_of_equal_firsts_the_regret_is_the_mean() -> None:
    assert agreement([2, 2, 1], [10, 4, 0]).regret == pytest.approx(3)


def test_a_constant_metric_ranks_nothing() -> None:
    assert math.isnan(agreement([1, 1, 1], [1, 2, 3]).spearman)
