"""Two models on the same items: intervals that know of the pairs, and what was asked otherwise."""

import pytest

from evolvent.evaluation.paired import _difference, newcombe
from evolvent.evaluation.task import Measure
from evolvent.records import Record, Score


def row(number: int, **scores: Score) -> Record:
    return Record(f"t/{number}", f"t/{number}", number, "q", output="text", scores=scores)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        ((1, 1, 7, 12), (-0.507, -0.026)),  # Bentur et al. 2009, as in Fagerland, Lydersen and Laake (2014)
        ((36, 12, 2, 0), (0.0569, 0.3404)),  # Newcombe 1998, table II
    ],
)
def test_newcombes_interval_as_published(table: tuple[int, int, int, int], interval: tuple[float, float]) -> None:
    assert newcombe(*table) == pytest.approx(interval, abs=6e-4)


def test_the_interval_and_the_test_of_few_items_agree() -> None:
    both = [(row(n, a=float(n < 20)), row(n, a=float(4 <= n < 20))) for n in range(40)]
    found = _difference("t", Measure("m", "a"), both, 0)
    assert (found.wins, found.losses, found.p) == (4, 0, 0.125)
    assert found.low is not None and found.low < 0 < found.difference
    same = _difference("t", Measure("m", "a"), [(row(n, a=1.0), row(n, a=1.0)) for n in range(40)], 0)
    assert same.low is not None and same.high is not None and same.low < 0 < same.high


def test_what_stands_or_falls_together_has_a_wider_interval_and_no_test() -> None:
    def of(item: int, right: bool) -> Record:
        return row(item, a=float(right), chain=f"c{item // 5}")

    both = [(of(n, n // 5 % 2 == 0), of(n, n // 5 % 4 == 0)) for n in range(200)]
    alone, chains = (_difference("t", Measure("m", "a", cluster=cluster), both, 0) for cluster in (None, "chain"))
    assert chains.difference == alone.difference == 0.25
    assert (chains.wins, chains.losses, chains.p) == (50, 0, None)
    assert all(one.low is not None and one.high is not None for one in (alone, chains))
    assert (chains.high or 0) - (chains.low or 0) > 1.5 * ((alone.high or 0) - (alone.low or 0))
