"""The model confidence set: against arch's, and what it promises."""

import numpy as np
import pytest

from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.resampling import bootstrap_means, means


def found(values: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return model_confidence_set(means(values), bootstrap_means(values, draws=1_000, seed=seed))


@pytest.mark.parametrize(
    ("seed", "p_values"),
    [(1, [0.776, 1.0, 0.111, 0.0]), (2, [1.0, 0.893, 0.633, 0.0]), (3, [0.378, 1.0, 0.217, 0.0])],
)
def test_it_is_archs(seed: int, p_values: list[float]) -> None:
    """The p values of ``MCS(-values, size=0.05, reps=20_000, block_size=1, method="R", seed=seed)`` of arch 8.0.0, to
    four standard errors of the 4,000 draws here."""
    values = np.random.default_rng(seed).normal(size=(300, 4)) - [0, 0, 0.1, 0.3]
    _, ours = model_confidence_set(means(values), bootstrap_means(values, draws=4_000, seed=seed))
    assert np.abs(ours - p_values).max() < 4 * 0.5 / np.sqrt(4_000)


def test_one_candidate_of_huge_variance_hides_no_other() -> None:
    """arch's p values are 1, 0, 0, 0; those of the max-t statistic .013 for both in the middle."""
    values = np.random.default_rng(4).normal(size=(300, 4)) * [1, 1, 1, 20] - [0, 0.4, 0.4, 8]
    _, p_values = found(values)
    assert p_values.tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=0.005)


def test_equal_candidates_are_kept_and_a_worse_one_is_dropped() -> None:
    """100 items a candidate, 60 data sets: both of two equal ones are kept in 54 and more; .5 sd are found in 54."""
    rng = np.random.default_rng(5)
    kept = dropped = 0
    for seed in range(60):
        values = rng.normal(size=(100, 1)) + rng.normal(size=(100, 3))
        kept += int(found(values[:, :2], seed)[0].all())
        dropped += int(not found(values - [0, 0, 0.7], seed)[0][2])
    assert kept >= 54
    assert dropped >= 54


def test_two_copies_cannot_be_told_apart() -> None:
    one = np.random.default_rng(6).normal(size=(50, 1))
    inside, p_values = found(np.hstack([one, one]))
    assert inside.all()
    assert p_values.tolist() == [1.0, 1.0]


def test_a_candidate_without_values_is_in_no_set() -> None:
    values = np.random.default_rng(7).normal(size=(50, 3))
    values[:, 1] = np.nan
    inside, p_values = found(values)
    assert not inside[1]
    assert p_values[1] == 0.0
    assert inside[[0, 2]].any()


def test_a_candidate_alone_is_the_set() -> None:
    assert found(np.random.default_rng(8).normal(size=(50, 1)))[0].tolist() == [True]
