"""The win rate at equal length, against an independent fit and by what must hold of it."""

import math

import numpy as np
import pytest

from evolvent.judges.win_rate import C, length_controlled

pytest.importorskip("sklearn")
minimize = pytest.importorskip("scipy.optimize").minimize


def test_a_win_rate_at_equal_length() -> None:
    rng = np.random.default_rng(5)
    differences = rng.normal(200, 400, 500)
    chance = 1 / (1 + np.exp(-(-0.5 + 2 * np.tanh(differences / differences.std()))))
    wins = (rng.random(500) < chance).astype(float)
    wins[:20] = 0.5
    rate = length_controlled(wins, differences)
    term = np.tanh(differences / differences.std())

    def loss(point: np.ndarray) -> float:
        logit = point[0] + point[1] * term
        fit = np.sum(wins * np.logaddexp(0, -logit) + (1 - wins) * np.logaddexp(0, logit))
        return float(fit + point[1] ** 2 / (2 * C))

    found = minimize(loss, np.zeros(2)).x
    assert rate == pytest.approx(1 / (1 + math.exp(-found[0])), abs=1e-4)
    assert rate is not None and rate < wins.mean() - 0.05  # what was length is no merit
    assert length_controlled(np.ones(9), differences[:9]) is None
    assert length_controlled(np.array([1.0, 0.0]), np.zeros(2)) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_swapping_the_two_mirrors_the_rate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wins, differences = rng.choice([0.0, 0.5, 1.0], 200), rng.normal(100, 300, 200)
    ours, theirs = length_controlled(wins, differences), length_controlled(1 - wins, -differences)
    assert ours is not None and theirs is not None
    assert ours + theirs == pytest.approx(1, abs=1e-4)


def test_at_equal_lengths_it_is_the_raw_rate() -> None:
    wins = np.array([1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 1.0])
    for differences in (np.zeros(7), np.full(7, 40.0)):
        assert length_controlled(wins, differences) == pytest.approx(wins.mean(), abs=1e-4)
