"""How often a ranking is right: two candidates that do not differ, and one that is worse, in simulated scores.

Null: two copies of one model, drawn with other seeds, must not be told apart in 93 of 100 rankings. Power: a true
difference of 0.25 standard deviations on 500 seeds must be found in 90 of 100.

    python -m benchmarks.ranking [--rankings 100] [--seeds 500] [--difference 0.25] [--shared 0.5]
"""

import argparse
import time

import numpy as np

from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.resampling import bootstrap_means, means


def told_apart(rng: np.random.Generator, candidates: int, seeds: int, difference: float, shared: float) -> bool:
    """One ranking of candidates, the last of which is worse by ``difference``: is it left out of the confidence set?

    Args:
        rng: draws the scores: of variance 1, of which ``shared`` is a seed's own, the same for all candidates.
    """
    own = rng.normal(size=(seeds, candidates)) * np.sqrt(1 - shared)
    values = rng.normal(size=(seeds, 1)) * np.sqrt(shared) + own
    values[:, -1] -= difference
    drawn = bootstrap_means(values, seed=int(rng.integers(2**31)))
    inside, _ = model_confidence_set(means(values), drawn)
    return not inside.all() if difference == 0 else not inside[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rankings", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--difference", type=float, default=0.25)
    parser.add_argument("--shared", type=float, default=0.5, help="share of the variance that is the seed's own")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    for candidates in (2, 4):
        for difference in (0.0, given.difference):
            start = time.perf_counter()
            n = sum(told_apart(rng, candidates, given.seeds, difference, given.shared) for _ in range(given.rankings))
            seconds = (time.perf_counter() - start) / given.rankings
            what = "told apart although equal" if difference == 0 else f"a difference of {difference:g} found"
            print(
                f"{candidates} candidates, {given.seeds} seeds: {what}: {n} of {given.rankings} ({seconds:.2f} s each)"
            )


if __name__ == "__main__":
    main()
