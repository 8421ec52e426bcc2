"""How often a ranking is right: two candidates that do not differ, and one that is worse, in simulated scores.

Null: two copies of one model, drawn with other seeds, must not be told apart in 93 of 100 rankings. Power: a true
difference of 0.25 standard deviations on 500 seeds must be found in 90 of 100.

Then trials of 200 items and three students a candidate: how often equal candidates are told apart by a bootstrap over
items and training seeds, and how often by one over items alone.

    python -m benchmarks.ranking [--rankings 100] [--seeds 500] [--difference 0.25] [--shared 0.5]
"""

import argparse
import time

import numpy as np

from evolvent.ranking.confidence_set import model_confidence_set
from evolvent.ranking.resampling import bootstrap_means, means, widened
from evolvent.ranking.training_seeds import bootstrap_students


def told_apart(rng: np.random.Generator, candidates: int, seeds: int, difference: float, shared: float) -> bool:
    """One ranking of candidates, the last of which is worse by ``difference``: is it left out of the confidence set?

    Args:
        rng: draws the scores: of variance 1, of which ``shared`` is a seed's own, the same for all candidates.
    """
    own = rng.normal(size=(seeds, candidates)) * np.sqrt(1 - shared)
    values = rng.normal(size=(seeds, 1)) * np.sqrt(shared) + own
    values[:, -1] -= difference
    drawn = widened(bootstrap_means(values, seed=int(rng.integers(2**31))), seeds)
    inside, _ = model_confidence_set(means(values), drawn)
    return not inside.all() if difference == 0 else not inside[-1]


def trial(rng: np.random.Generator, candidates: int, of_seed: float, difference: float) -> np.ndarray:
    """Right or wrong, of shape [200 items, 3 students, candidates]; the last candidate is worse by ``difference``.

    Args:
        rng: draws items, of 1.5 logits standard deviation, and students.
        of_seed: standard deviation of students of one candidate, in logits.
        difference: in logits.
    """
    hard, student = rng.normal(size=(200, 1, 1)) * 1.5, rng.normal(size=(1, 3, candidates)) * of_seed
    logits = hard + student - np.array([0.0] * (candidates - 1) + [difference])
    return (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)


def trials(rng: np.random.Generator, candidates: int, of_seed: float, rankings: int) -> tuple[int, int, int]:
    """How many trials tell equal candidates apart, by items and seeds and by items alone; how many find 1 logit."""
    both = alone = found = 0
    for seed in range(rankings):
        values = trial(rng, candidates, of_seed, 0.0)
        both += not model_confidence_set(values.mean(axis=(0, 1)), bootstrap_students(values, seed=seed))[0].all()
        alone += not model_confidence_set(values.mean(axis=(0, 1)), bootstrap_means(values.mean(axis=1)))[0].all()
        values = trial(rng, candidates, of_seed, 1.0)
        found += not model_confidence_set(values.mean(axis=(0, 1)), bootstrap_students(values, seed=seed))[0][-1]
    return both, alone, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rankings", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--difference", type=float, default=0.25)
    parser.add_argument("--shared", type=float, default=0.5, help="share of the variance that is the seed's own")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    for candidates in (2, 4, 8):
        for difference in (0.0, given.difference):
            start = time.perf_counter()
            n = sum(told_apart(rng, candidates, given.seeds, difference, given.shared) for _ in range(given.rankings))
            seconds = (time.perf_counter() - start) / given.rankings
            what = "told apart although equal" if difference == 0 else f"a difference of {difference:g} found"
            print(
                f"{candidates} candidates, {given.seeds} seeds: {what}: {n} of {given.rankings} ({seconds:.2f} s each)"
            )
    for candidates in (2, 4):
        for of_seed in (0.0, 0.15, 0.4):
            both, alone, found = trials(rng, candidates, of_seed, given.rankings)
            print(
                f"{candidates} candidates, training seeds differ by {of_seed:g} logits: told apart although "
                f"equal: {both} of {given.rankings} (by items alone {alone}); a difference of 1 logit found: {found}"
            )


if __name__ == "__main__":
    main()
