"""What so many items can show."""

import numpy as np
import pytest

from evolvent.ranking.power import items_needed, minimum_detectable_effect


def test_against_the_textbook() -> None:
    """(1.95996 + 0.84162) sd at 95 % and 80 %; for .25 sd of one item 126 items."""
    assert minimum_detectable_effect(1.0) == pytest.approx(2.80158, abs=1e-5)
    assert items_needed(0.25, 1 / np.sqrt(500), 500) == 126


def test_the_effect_is_found_as_often_as_it_says() -> None:
    """2,000 samples of 200 items: a difference of that size is found in 80 % of them, to 3 standard errors."""
    rng = np.random.default_rng(9)
    deviation = 1 / np.sqrt(200)
    found = rng.normal(minimum_detectable_effect(deviation), deviation, 2_000)
    assert (np.abs(found) > 1.95996 * deviation).mean() == pytest.approx(0.8, abs=0.027)
