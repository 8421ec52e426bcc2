"""How long finding each vector's nearest takes, and how much memory: faiss as evolvent uses it, usearch, numpy.

    python -m benchmarks.neighbours                           # 52,000 vectors of 768 dimensions
    python -m benchmarks.neighbours --rows 10000 --only faiss,graph

The vectors lie in clusters, a twentieth as many as there are vectors. Each line is one process. ``graph`` is the search
that evolvent uses above 200,000 vectors, with its recall. usearch has to be installed.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measuring import measure
from evolvent.metrics.mnd import REPEATED
from evolvent.metrics.neighbours import neighbours

DIMENSIONS, BLOCK = 768, 2_048
RUN = "import sys; from benchmarks.neighbours import find; print(find(sys.argv[1], int(sys.argv[2])))"


def vectors(rows: int) -> np.ndarray:
    """Vectors of length 1 in clusters."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((max(2, rows // 20), DIMENSIONS), np.float32)
    found = centres[rng.integers(0, len(centres), rows)]
    for start in range(0, rows, BLOCK):
        block = found[start : start + BLOCK]
        block += rng.standard_normal(block.shape, np.float32) * rng.uniform(0.05, 1, (len(block), 1)).astype("f4")
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return found


def find(how: str, rows: int) -> str:
    """The mean distance to the nearest, and the recall where not every pair is compared."""
    given, ones = vectors(rows), np.ones(rows, np.int64)
    if how in ("faiss", "graph"):
        exact = rows if how == "faiss" else 1
        found = asyncio.run(neighbours(given, ones, 1 - REPEATED / 2, exact=exact))
        recall = "" if found.recall is None else f", recall {found.recall:.3f}"
        return f"{2 - 2 * found.nearest.mean():.6f}{recall}"
    nearest = np.empty(rows)
    if how == "usearch":
        from usearch.index import MetricKind, search

        for start in range(0, rows, BLOCK):
            matches = search(given, given[start : start + BLOCK], 2, MetricKind.IP, exact=True)
            nearest[start : start + BLOCK] = 1 - matches.distances[:, 1]
    else:
        for start in range(0, rows, BLOCK):
            cosines = given[start : start + BLOCK] @ given.T
            cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -1
            nearest[start : start + BLOCK] = cosines.max(1)
    return f"{2 - 2 * nearest.mean():.6f}"


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--only", default="faiss,numpy,usearch,graph", help="which, separated by commas")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that one run may take")
    options = parser.parse_args()
    print("| how | s | peak RSS, MB | mean distance |\n|---|---|---|---|")
    for how in options.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            ran = measure([sys.executable, "-c", RUN, how, str(options.rows)], log=log, limit_s=options.limit)
            words = log.read_text(errors="replace").strip()
            if ran.status:
                raise SystemExit(words[-2000:])
            print(f"| {how} | {ran.seconds:,.1f} | {ran.peak_mb:,.0f} | {words.splitlines()[-1]} |", flush=True)


if __name__ == "__main__":
    main()
