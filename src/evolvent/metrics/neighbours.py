"""The nearest neighbour of each of many vectors, and how many lie closer than a threshold. By faiss."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

EXACT = 200_000  # vectors up to which every pair is compared
TOGETHER = 2_048  # vectors that are looked up at once: how long an interruption may wait
CLOSE = 256  # vectors whose close ones are listed at once: in a set of repeats they are all of it
SAMPLE = 1_000  # vectors by which the recall of the approximate search is measured
LINKS, EFFORT = 32, 128  # of the graph (HNSW): links a vector, candidates a search
FIRST = 64  # neighbours that are looked at where those within the threshold are counted approximately


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What is near to each vector.

    Attributes:
        nearest: cosine of the nearest other vector, float64 of shape [vectors]; NaN where there is no other.
        close: how many others have a cosine above the threshold, by their weights, int64 of shape [vectors].
        recall: share of a sample whose nearest was found; None where every pair was compared.
    """

    nearest: "np.ndarray"
    close: "np.ndarray"
    recall: float | None = None


async def neighbours(
    vectors: "np.ndarray", weights: "np.ndarray", threshold: float, *, exact: int = EXACT
) -> Neighbours:
    """Find what is near to each vector.

    Args:
        vectors: float32 of shape [vectors, dimensions], each of length 1.
        weights: how often each stands in its set, int64 of shape [vectors]; it is close to its own copies.
        threshold: cosine above which another vector is close.
        exact: vectors up to which every pair is compared; above, a graph (HNSW) is searched.

    Returns:
        Cosines and counts. In memory are the vectors once more, and for a graph its links.
    """
    import faiss
    import numpy as np

    count, dimensions = vectors.shape
    nearest, close = np.full(count, np.nan), weights - 1
    if count < 2:
        return Neighbours(nearest, close)
    flat: Any = faiss.IndexFlatIP(dimensions)
    graph: Any = None
    if count > exact:
        graph = faiss.IndexHNSWFlat(dimensions, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = graph.hnsw.efSearch = EFFORT
    for start in range(0, count, TOGETHER):
        await asyncio.to_thread((graph or flat).add, np.ascontiguousarray(vectors[start : start + TOGETHER]))
    for start in range(0, count, TOGETHER):
        block = np.ascontiguousarray(vectors[start : start + TOGETHER])
        own = np.arange(start, start + len(block))
        cosines, places = await asyncio.to_thread((graph or flat).search, block, FIRST if graph else 2)
        nearest[own] = _best_other(cosines, places, own)
        if graph:
            others = (cosines > threshold) & (places != own[:, None]) & (places >= 0)
            close[own] += np.where(others, weights[places], 0).sum(1)
            continue
        near = np.flatnonzero(nearest[own] > threshold)  # to the rest no other is close
        for first in range(0, len(near), CLOSE):
            chosen = near[first : first + CLOSE]
            limits, _, found = await asyncio.to_thread(flat.range_search, block[chosen], threshold)
            for place, begin, end in zip(own[chosen], limits, limits[1:], strict=False):
                close[place] = weights[found[int(begin) : int(end)]].sum() - 1  # it is close to itself
    recall = await _recall(vectors, nearest) if graph else None
    if recall is not None:
        log.warning("mnd: neighbours of %s texts by a graph; of a sample %.1f%% were the nearest", count, 100 * recall)
    return Neighbours(nearest, close, recall)


def _best_other(cosines: "np.ndarray", places: "np.ndarray", own: "np.ndarray") -> "np.ndarray":
    """Of each row's hits the best that is not the vector itself."""
    import numpy as np

    others = np.where((places == own[:, None]) | (places < 0), -np.inf, cosines).max(1)
    best: np.ndarray = np.where(np.isfinite(others), others, np.nan).astype(float)
    return best


async def _recall(vectors: "np.ndarray", nearest: "np.ndarray") -> float:
    """Share of a sample whose nearest is as near as the nearest of all."""
    import faiss
    import numpy as np

    own = np.sort(np.random.default_rng(0).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    cosines, places = await asyncio.to_thread(faiss.knn, vectors[own], vectors, 2, faiss.METRIC_INNER_PRODUCT)
    return float(np.mean(nearest[own] >= _best_other(cosines, places, own) - 1e-6))
