"""In which order rows are seen: each epoch in a new one, and in each step's rows those of one length side by side.

Which rows a step has is left to chance, as everywhere. Only within a step, where the order changes no gradient, are
they sorted: the batches that it is made of then hold rows of like length, and little is padded. No step reaches over
the border of two epochs: the last one of each has the rows that are left.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


def steps_of(rows: int, epochs: float, batch_size: int) -> int:
    """How many steps a training has; part of an epoch is part of its steps."""
    return math.ceil(epochs * math.ceil(rows / batch_size))


def order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The rows in the order in which an epoch sees them.

    Args:
        lengths: of the rows.
        batch_size: rows a step.
        seed: the run's.
        epoch: which one, from 0.
    """
    sizes = np.asarray(lengths)
    rows = np.random.default_rng([seed, epoch]).permutation(len(sizes))
    steps = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    # The longest first: what does not fit into the memory fails early.
    return np.concatenate([step[np.argsort(-sizes[step], kind="stable")] for step in steps])


@dataclass(frozen=True, slots=True)
class Order:
    """A sampler: each time it is begun it gives the epoch that is due.

    Attributes:
        lengths, batch_size, seed: as ``order`` takes them.
        done: tells how many steps are done. Accelerate tells a sampler its epoch, but not in every process of several
            that go on from a checkpoint.
    """

    lengths: Sequence[int]
    batch_size: int
    seed: int
    done: Callable[[], int]

    def __iter__(self) -> Iterator[int]:
        epoch = self.done() // steps_of(len(self), 1, self.batch_size)
        yield from order(self.lengths, self.batch_size, self.seed, epoch).tolist()

    def __len__(self) -> int:
        return len(self.lengths)


def give_order(trainer: object, lengths: Sequence[int], batch_size: int, seed: int) -> None:
    """Have a trainer of transformers see its rows in our order: it has a strategy for it, none of which is this one."""
    sampler = Order(lengths, batch_size, seed, lambda: trainer.state.global_step)  # type: ignore[attr-defined]
    trainer._get_train_sampler = lambda *_: sampler  # type: ignore[attr-defined]
