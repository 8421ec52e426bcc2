"""Means that might have been, against draws made one by one."""

import numpy as np
import pytest

from evolvent.errors import InputError
from evolvent.ranking import resampling
from evolvent.ranking.resampling import bootstrap_means, exact, means, widened

NAN = float("nan")


def test_means_are_over_what_a_candidate_has() -> None:
    assert means(np.array([[1.0, NAN], [3.0, 4.0]])).tolist() == [2.0, 4.0]
    assert np.isnan(means(np.array([[1.0, NAN], [3.0, NAN]]))[1])


def test_draws_of_clusters_are_those_of_a_plain_loop() -> None:
    """In distribution: mean and spread agree with clusters drawn one by one, to 4 standard errors of 4,000 draws."""
    rng = np.random.default_rng(1)
    clusters = rng.integers(20, size=90)
    clusters[:20] = range(20)
    values = rng.normal(size=(90, 2)) + rng.normal(size=20)[clusters][:, None]
    values[rng.random(values.shape) < 0.2] = NAN
    ours = bootstrap_means(values, clusters, draws=4_000)
    plain = []
    for _ in range(4_000):
        rows = np.concatenate([np.flatnonzero(clusters == one) for one in rng.integers(20, size=20)])
        plain.append(np.nanmean(values[rows], axis=0))
    theirs = np.array(plain)
    error = ours.std(axis=0) / np.sqrt(4_000)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4 * np.sqrt(2) * error).all()
    assert np.allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.06)


def test_a_shared_draw_pairs_the_candidates() -> None:
    """A candidate that is another plus a constant differs from it by that constant in every draw."""
    first = np.random.default_rng(2).normal(size=50)
    drawn = bootstrap_means(np.column_stack([first, first + 0.5]))
    assert np.allclose(drawn[:, 1] - drawn[:, 0], 0.5)


def test_rows_of_one_seed_stand_or_fall_together() -> None:
    """100 rows of 10 seeds, all rows of a seed equal, are worth 10."""
    seeds = np.random.default_rng(3).normal(size=10)
    rows = np.repeat(seeds, 10)[:, None]
    clustered = bootstrap_means(rows, np.repeat(np.arange(10), 10)).std()
    assert clustered == pytest.approx(bootstrap_means(seeds[:, None]).std(), rel=1e-12)
    assert clustered > 2.5 * bootstrap_means(rows).std()


def test_one_seed_says_nothing() -> None:
    with pytest.raises(InputError, match="there is 1 seed"):
        bootstrap_means(np.zeros((5, 2)), [0] * 5)


def test_many_seeds_are_drawn_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(size=(40, 2))
    whole = bootstrap_means(values, draws=100)
    monkeypatch.setattr(resampling, "AT_ONCE", 40 * 7)
    assert np.allclose(bootstrap_means(values, draws=100), whole, rtol=1e-12)


@pytest.mark.parametrize("n", [5, 10, 40])
def test_few_items_have_wide_intervals(n: int) -> None:
    """The 95 % interval of a mean of n normal numbers holds 0 in about 95 of 100; of 5 a plain bootstrap's in 81."""
    rng, held = np.random.default_rng(n), 0
    for seed in range(400):
        values = rng.normal(size=(n, 1))
        low, high = np.quantile(widened(bootstrap_means(values, draws=400, seed=seed), n), [0.025, 0.975])
        held += low < 0 < high
    assert 0.9 <= held / 400 <= 0.98


def test_the_noise_of_arithmetic_is_no_difference() -> None:
    values = np.array([0.1 + 0.2, 0.3, np.nan])
    assert exact(values, values).tolist()[:2] == [0.3, 0.3]
    assert exact(np.array([1e-20, 3.0]), np.array([np.nan, 3.0])).tolist() == [0.0, 3.0]
    assert exact(np.zeros(2), np.zeros(2)).tolist() == [0.0, 0.0]
