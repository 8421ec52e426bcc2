"""Whether a trial training was long enough to learn: an under-trained one orders candidates as chance does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolvent.ranking.training_seeds import bootstrap_students

# The losses of the first and of the last quarter of a training's steps are compared; each holds so many at the least.
PART, FEWEST = 4, 3
STEPS = FEWEST * PART  # of a training, at the least


@dataclass(frozen=True, slots=True)
class Learned:
    """What a candidate's students learned; losses are in nats a token.

    Attributes:
        steps: of one training.
        fall: by how much the training loss fell, from the first quarter of the steps to the last; NaN where these are
            too few. ``fall_low``, ``fall_high``: its 95 % interval, by the losses of single steps.
        change: of the loss on the candidate's own rows that no student saw, against the base model; NaN where there
            are fewer than two. ``change_low``, ``change_high``: its 95 % interval, paired, over rows and seeds of the
            training.
    """

    steps: int
    fall: float
    fall_low: float
    fall_high: float
    change: float
    change_low: float
    change_high: float

    @property
    def lacking(self) -> str:
        """Why the trial was not sufficient; empty if it was."""
        if np.isnan(self.fall):
            return too_few(self.steps)
        if not self.fall_low > 0:
            interval = f"[{self.fall_low:.3g}, {self.fall_high:.3g}]"
            return f"the training loss fell by {self.fall:.3g} {interval}, which may be nothing"
        if np.isnan(self.change):
            return "fewer than two of its held-out seeds have a loss, so that nothing says whether it learned"
        if not (self.change_low > 0 or self.change_high < 0):
            interval = f"[{self.change_low:.3g}, {self.change_high:.3g}]"
            return f"the loss on its held-out rows changed by {self.change:.3g} {interval}, which may be nothing"
        return ""


def too_few(steps: int) -> str:
    """That a training of so many steps shows nothing."""
    return f"{steps} steps are too few to tell whether they learn: {STEPS} at the least"


def learned(curves: Sequence[Sequence[float]], before: np.ndarray, after: np.ndarray) -> Learned:
    """What the students of one candidate learned.

    Args:
        curves: the training loss of each student, step by step.
        before: the base model's loss on each held-out row, of shape [rows].
        after: the students', of shape [rows, students].
    """
    steps = min(map(len, curves))
    fall = _fall(curves) if steps >= STEPS else (float("nan"),) * 3
    change = _change(after - before[:, None]) if len(before) > 1 else (float("nan"),) * 3
    return Learned(steps, *fall, *change)


def _fall(curves: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """By how much losses fell, with its interval: Welch's, of the steps of all students."""
    from scipy.stats import ttest_ind

    parts = [(curve[: len(curve) // PART], curve[-(len(curve) // PART) :]) for curve in curves]
    first, last = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    interval = ttest_ind(first, last, equal_var=False).confidence_interval(0.95)
    return float(first.mean() - last.mean()), float(interval.low), float(interval.high)


def _change(changes: np.ndarray) -> tuple[float, float, float]:
    """The mean change, of shape [rows, students], with its interval."""
    low, high = np.quantile(bootstrap_students(changes[:, :, None]), [0.025, 0.975])
    return float(changes.mean()), float(low), float(high)
