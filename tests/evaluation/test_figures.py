"""Figures and their uncertainty, on rows that are known."""

import pytest
from scipy.stats import binomtest

from evolvent.evaluation.figures import CONTAMINATED, figure, of_task
from evolvent.evaluation.task import Measure
from evolvent.evaluation.tasks import TASKS
from evolvent.records import Record, Score

GSM8K = TASKS["gsm8k"]


def row(number: int, output: str = "text", **scores: Score) -> Record:
    return Record(f"t/{number}", f"t/{number}", number, "q", output=output, scores=scores)


def test_a_share_has_wilsons_interval() -> None:
    found = figure(Measure("m", "a"), [row(n, a=float(n < 7)) for n in range(20)])
    wilson = binomtest(7, 20).proportion_ci(method="wilson")
    assert (found.value, found.n) == (0.35, 20)
    assert (found.low, found.high) == (wilson.low, wilson.high)
    assert found.error == pytest.approx((0.35 * 0.65 / 20) ** 0.5)


def test_a_share_of_nothing_right_still_has_one() -> None:
    found = figure(Measure("m", "a"), [row(n, a=0.0) for n in range(100)])
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.037, abs=0.001)


def test_a_ratio_is_flat_over_instructions_and_resamples_items() -> None:
    rows = [row(n, a=float(n % 2) * 3, of=3.0) for n in range(200)]
    found = figure(Measure("m", "a", "of"), rows)
    assert found.value == 0.5
    # An item's three instructions stand or fall together: the error is that of 200 items, not of 600 instructions.
    assert found.error == pytest.approx((0.25 / 200) ** 0.5, rel=0.1)
    assert found.low is not None and found.high is not None and found.low < 0.5 < found.high
    assert figure(Measure("m", "a", "of"), rows) == found


def test_instructions_count_each_for_itself() -> None:
    assert figure(Measure("m", "a", "of"), [row(0, a=1.0, of=1.0), row(1, a=0.0, of=3.0)]).value == 0.25


def test_what_stands_or_falls_together_is_drawn_together() -> None:
    rows = [row(n, a=float(n // 5 % 2), chain=f"c{n // 5}") for n in range(100)]
    alone, chains = figure(Measure("m", "a"), rows), figure(Measure("m", "a", cluster="chain"), rows)
    assert (chains.value, chains.n) == (0.5, 100)
    assert alone.error is not None and chains.error == pytest.approx(5**0.5 * alone.error, rel=0.1)
    of_one = figure(Measure("m", "a", cluster="chain"), rows[:5])
    assert (of_one.value, of_one.low, of_one.n) == (0, None, 5)
    older = [row(n, a=float(n % 2)) for n in range(20)]
    assert figure(Measure("m", "a", groups="kind", cluster="chain"), older).value == 0.5


def test_groups_weigh_the_same_however_many_items_they_have() -> None:
    rows = [row(n, a=float(n < 2), kind="small" if n < 2 else "large") for n in range(20)]
    assert figure(Measure("m", "a"), rows).value == 0.1
    assert figure(Measure("m", "a", groups="kind"), rows).value == pytest.approx(0.5)
    for one in rows:
        one.scores["a"] = 0.0
    assert figure(Measure("m", "a", groups="kind"), rows) == figure(Measure("m", "a"), rows)  # not from 0 to 0


def test_rows_without_a_verdict_are_left_out() -> None:
    rows = [row(0, a=1.0), row(1, a=None), row(2)]
    assert (figure(Measure("m", "a"), rows).value, figure(Measure("m", "a"), rows).n) == (1, 1)
    assert figure(Measure("m", "a"), rows).low is None
    assert figure(Measure("m", "a"), rows[1:]).value is None


def test_what_became_of_the_items_is_counted() -> None:
    right: dict[str, Score] = {"strict_match": 1.0, "flexible_extract": 1.0}
    wrong: dict[str, Score] = {"strict_match": 0.0, "flexible_extract": 0.0}
    rows = [row(0, **right), row(1, **wrong), row(2, "", **wrong), row(3, ""), row(4, "")]
    rows[1].finish_reason, rows[2].finish_reason = "length", "loop"
    for failed in rows[3:]:
        failed.status, failed.reason = "failed", "prompt too long"
    found = of_task(GSM8K, rows)
    assert (found.items, found.cut, found.empty, found.failed) == (5, 2, 1, {"prompt too long": 2})
    assert [(one.name, one.value, one.n) for one in found.figures] == [
        ("strict match", pytest.approx(1 / 3), 3),
        ("flexible extract", pytest.approx(1 / 3), 3),
    ]
    assert (found.contaminated, found.clean) == (None, ())


def test_figures_without_the_items_that_the_training_data_hold() -> None:
    rows = [row(n, strict_match=float(n < 2), flexible_extract=1.0, **{CONTAMINATED: int(n == 0)}) for n in range(4)]
    found = of_task(GSM8K, rows)
    assert found.contaminated == 1
    assert [(one.value, one.n) for one in found.figures] == [(0.5, 4), (1, 4)]
    assert [(one.value, one.n) for one in found.clean] == [(pytest.approx(1 / 3), 3), (1, 3)]
    rows[3].scores[CONTAMINATED] = None
    found = of_task(GSM8K, rows)
    assert (found.contaminated, found.too_short, found.clean[0].n) == (1, 1, 2)
    for one in rows:
        one.scores[CONTAMINATED] = 0
    assert (of_task(GSM8K, rows).contaminated, of_task(GSM8K, rows).clean) == (0, ())


def test_another_estimate_of_two_columns() -> None:
    from evolvent.judges.win_rate import length_controlled

    controlled = Measure("c", "win", of="longer", estimate=length_controlled)
    same = [row(n, win=float(n % 4 == 0), longer=0) for n in range(80)]
    found = figure(controlled, same)
    assert found.value == pytest.approx(0.25, abs=1e-4)
    assert found.low is not None and found.high is not None and 0.1 < found.low < 0.25 < found.high < 0.4
    by_length = [row(n, win=float(n % 4 != 0), longer=300 if n % 4 else -300) for n in range(80)]
    raw, equal = figure(Measure("r", "win"), by_length).value, figure(controlled, by_length).value
    assert raw == 0.75 and equal is not None and equal < 0.65  # what was length is no merit
    assert figure(controlled, [row(n, win=1.0, longer=n) for n in range(9)]).value is None
