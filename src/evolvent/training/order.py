"""In which order rows are seen: each epoch in a new one, and in each step's rows those of one length side by side.

Which rows a step has is left to chance, as everywhere. Only within a step, where the order changes no gradient, are
they sorted: the batches that it is made of then hold rows of like length, and little is padded.
"""

import math

import numpy as np


def steps_of(rows: int, epochs: float, batch_size: int) -> int:
    """How many steps a training has."""
    return math.ceil(max(1, round(rows * epochs)) / batch_size)


def order(lengths: "list[int] | np.ndarray", epochs: float, batch_size: int, seed: int) -> "np.ndarray":
    """The rows of all epochs in the order in which they are seen.

    Args:
        lengths: of the rows.
        epochs: how often each is seen; a part of an epoch sees a part of the rows.
        batch_size: rows a step.
        seed: the run's.
    """
    sizes, count = np.asarray(lengths), max(1, round(len(lengths) * epochs))
    shuffled = [np.random.default_rng([seed, epoch]).permutation(len(sizes)) for epoch in range(math.ceil(epochs))]
    seen = np.concatenate(shuffled)[:count]
    steps = [seen[start : start + batch_size] for start in range(0, count, batch_size)]
    # The longest first: what does not fit into the memory fails early.
    return np.concatenate([step[np.argsort(-sizes[step], kind="stable")] for step in steps])
