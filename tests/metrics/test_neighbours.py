"""Nearest neighbours beside every pair of them, compared in numpy."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.metrics import neighbours as module
from evolvent.metrics.neighbours import neighbours

CLOSE = 1 - 0.05 / 2


def unit(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Vectors in clusters, many of them close."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, count // 20), dimensions))
    vectors = centres[rng.integers(0, len(centres), count)]
    vectors = vectors + rng.normal(size=(count, dimensions)) * rng.uniform(0.05, 1, (count, 1))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def by_brute_force(vectors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cosines = vectors.astype(float) @ vectors.T.astype(float)
    np.fill_diagonal(cosines, -9)
    return cosines.max(1), ((cosines > CLOSE) * weights).sum(1) + weights - 1


def test_every_pair_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOGETHER", 300)
    monkeypatch.setattr(module, "CLOSE", 7)
    vectors, weights = unit(1_000, 48), np.random.default_rng(1).integers(1, 4, 1_000)
    found, (nearest, close) = asyncio.run(neighbours(vectors, weights, CLOSE)), by_brute_force(vectors, weights)
    assert np.abs(found.nearest - nearest).max() < 1e-6
    assert np.array_equal(found.close, close)
    assert found.recall is None and (close > weights - 1).sum() > 50


def test_a_graph_is_searched_and_says_what_it_found(caplog: pytest.LogCaptureFixture) -> None:
    vectors, weights = unit(2_000, 32), np.ones(2_000, np.int64)
    found, (nearest, _) = asyncio.run(neighbours(vectors, weights, CLOSE, exact=100)), by_brute_force(vectors, weights)
    right = float(np.mean(found.nearest >= nearest - 1e-6))
    assert found.recall == pytest.approx(right, abs=0.03)
    assert right > 0.95
    assert "of a sample" in caplog.text


@given(st.lists(st.floats(0, 2 * math.pi), min_size=2, max_size=6), st.permutations(range(6)))
@settings(max_examples=40, deadline=None)
def test_known_angles_in_any_order(angles: list[float], order: list[int]) -> None:
    vectors = np.array([[math.cos(a), math.sin(a)] for a in angles], np.float32)
    places = [place for place in order if place < len(angles)]
    ones = np.ones(len(angles), np.int64)
    found = asyncio.run(neighbours(vectors, ones, CLOSE)).nearest
    turned = asyncio.run(neighbours(vectors[places], ones, CLOSE)).nearest
    assert np.allclose(turned, found[places], atol=1e-6)
    for place, angle in enumerate(angles):
        best = max(math.cos(angle - other) for index, other in enumerate(angles) if index != place)
        assert found[place] == pytest.approx(best, abs=1e-6)


def test_one_vector_has_no_neighbour() -> None:
    found = asyncio.run(neighbours(unit(1, 8), np.array([3]), CLOSE))
    assert np.isnan(found.nearest).all() and found.close.tolist() == [2]
