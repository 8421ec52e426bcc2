"""Whether a trial was long enough to learn, by made-up losses."""

import re

import numpy as np
import pytest

from evolvent.ranking.sufficiency import learned

RNG = np.random.default_rng(0)
BEFORE = RNG.normal(2.0, 0.5, size=40)


def curves(fall: float, steps: int = 40) -> list[list[float]]:
    """Losses of three trainings: noise about a line that falls."""
    return [list(2.0 - fall * np.linspace(0, 1, steps) + RNG.normal(0, 0.1, size=steps)) for _ in range(3)]


def after(change: float) -> np.ndarray:
    return BEFORE[:, None] + change + RNG.normal(0, 0.1, size=(40, 3))


@pytest.mark.parametrize("change", [-0.3, 0.3])
def test_a_trial_that_learned(change: float) -> None:
    """Held-out losses move either way: rows of other candidates may become less likely."""
    found = learned(curves(0.8), BEFORE, after(change))
    assert found.lacking == ""
    assert found.fall == pytest.approx(0.6, abs=0.1) and found.fall_low < found.fall < found.fall_high
    assert found.change == pytest.approx(change, abs=0.05) and found.change_low < change < found.change_high


@pytest.mark.parametrize(
    ("fall", "steps", "change", "words"),
    [
        (0.8, 8, -0.3, "8 steps are too few"),
        (0.0, 40, -0.3, "the training loss fell by .* which may be nothing"),
        (0.8, 40, 0.0, "the loss on its held-out rows changed by .* which may be nothing"),
    ],
)
def test_a_trial_that_did_not(fall: float, steps: int, change: float, words: str) -> None:
    found = learned(curves(fall, steps), BEFORE, after(change))

    assert re.search(words, found.lacking)


def test_a_rising_training_loss_is_no_learning() -> None:
    assert "may be nothing" in learned(curves(-0.8), BEFORE, after(0.3)).lacking
