"""Students of several training seeds: what their means might have been, and how far the seeds agree."""

import numpy as np
import pytest
from scipy.stats import t

from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.training_seeds import between_seeds, bootstrap_students


def trials(rng: np.random.Generator, candidates: int, of_seed: float, difference: float = 0.0) -> np.ndarray:
    """Right or wrong, of shape [items, 3 seeds, candidates]; the last candidate is worse by ``difference`` logits."""
    hard, student = rng.normal(size=(200, 1, 1)) * 1.5, rng.normal(size=(1, 3, candidates)) * of_seed
    logits = hard + student - np.array([0.0] * (candidates - 1) + [difference])
    return (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)


@pytest.mark.parametrize("of_seed", [0.0, 0.15, 0.4])
def test_equal_candidates_are_told_apart_seldom(of_seed: float) -> None:
    """Whatever training seeds do; items alone would tell 37 of 100 apart at the largest."""
    rng, apart, found = np.random.default_rng(0), 0, 0
    for seed in range(60):
        for difference in (0.0, 1.5):
            values = trials(rng, 2, of_seed, difference)
            drawn = bootstrap_students(values, draws=500, seed=seed)
            inside, _ = model_confidence_set(values.mean(axis=(0, 1)), drawn)
            apart += difference == 0 and not inside.all()
            found += difference > 0 and not inside[1]
    assert apart <= 0.07 * 60
    assert found >= 0.8 * 60


def deviation(of_items: float, of_seeds: float, of_both: float, *, candidates: int = 40) -> tuple[float, float]:
    """The standard deviation of a mean over 100 items and 3 seeds, true and drawn; the variances are those of parts."""
    rng = np.random.default_rng(1)
    parts = ((100, 1, of_items), (1, 3, of_seeds), (100, 3, of_both))
    values = sum(rng.normal(size=(n, m, candidates)) * np.sqrt(one) for n, m, one in parts)
    drawn = bootstrap_students(np.broadcast_to(values, (100, 3, candidates)))
    return np.sqrt(of_items / 100 + of_seeds / 3 + of_both / 300), float(drawn.std(axis=0).mean())


@pytest.mark.parametrize("parts", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0.01, 1), (1, 0.1, 1), (0.2, 0, 2)])
def test_the_deviation_is_that_of_items_of_seeds_and_of_their_noise_each_counted_once(parts: tuple[float, ...]) -> None:
    true, drawn = deviation(*parts)
    assert drawn == pytest.approx(true, rel=0.1)


def test_few_students_leave_open_how_far_seeds_lie_apart() -> None:
    """Two candidates, three students each, and no noise but of seeds: intervals are those of a t distribution."""
    seeds = np.broadcast_to(np.random.default_rng(3).normal(size=(1, 3, 2)), (40, 3, 2))
    drawn = bootstrap_students(seeds, draws=40_000)
    half = t.ppf(0.975, 4) * np.sqrt(seeds[0].var(axis=0, ddof=1).mean() / 3)
    assert np.quantile(drawn[:, 0], 0.975) - seeds[0, :, 0].mean() == pytest.approx(half, rel=0.03)


def test_a_shared_draw_of_items_pairs_the_candidates() -> None:
    first = np.broadcast_to(np.random.default_rng(2).normal(size=(50, 1, 1)), (50, 3, 1))
    drawn = bootstrap_students(np.concatenate([first, first + 0.5], axis=2))
    assert np.allclose(drawn[:, 1] - drawn[:, 0], 0.5)


def test_how_far_seeds_agree() -> None:
    """By hand: orders 1 2 3, 1 2 3 and 3 2 1 have the Spearman correlations 1, -1 and -1."""
    means = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    found = between_seeds(np.broadcast_to(means, (5, 3, 3)))
    assert found.spearman == found.kendall == pytest.approx(-1 / 3)
    assert found.deviation == pytest.approx(np.sqrt(2 * (4 / 3) / 3))
    assert np.isnan(between_seeds(np.ones((5, 3, 2))).spearman)
