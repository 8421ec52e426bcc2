"""Scores from losses: formulas, nulls with reasons, columns."""

import math
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.errors import InputError
from evolvent.metrics.all_metrics import METRICS, chosen
from evolvent.metrics.losses import PairLosses
from evolvent.metrics.options import DEFAULT_METRICS
from evolvent.records import COLUMNS, schema
from tests.metrics.scoring import columns_of, scores_of

LOSSES = PairLosses(
    instruction_sum=8.0,
    instruction_count=4,
    conditional_sum=6.0,
    conditional_count=6,
    direct_sum=7.5,
    direct_count=5,
    rank_sum=15,
    instruction_tokens=4,
    response_tokens=5,
)


OF_LOSSES = [name for name, metric in METRICS.items() if metric.needs == ("losses",)]
ALWAYS = [name for name, metric in METRICS.items() if metric.always]


def test_formulas() -> None:
    assert scores_of(LOSSES, OF_LOSSES) == {  # L(Q) = 2, L(A|Q) = 1, L(A) = 1.5
        "instruction_ppl": pytest.approx(math.e**2),
        "response_ppl": pytest.approx(math.e**1.5),
        "conditional_ppl": pytest.approx(math.e),
        "ifd": pytest.approx(1 / 1.5),
        "ic_ifd": pytest.approx(1 / 3),
        "ifd_ppl": pytest.approx(math.e**-0.5),
        "response_loss": 1.0,
        "response_rank": 2.5,
        "rsr": 2.5,
        "grape": -1.0,
        "instruction_tokens": 4,
        "response_tokens": 5,
        "score_reason": None,
    }


@pytest.mark.parametrize(
    ("changed", "absent"),
    [
        ({"direct_sum": 0.0}, ["ifd", "ic_ifd"]),
        ({"instruction_sum": 0.0}, ["ic_ifd"]),
        ({"instruction_sum": 4 * 800.0}, ["instruction_ppl"]),
        ({"direct_sum": math.inf}, ["response_ppl", "ifd", "ic_ifd"]),
        ({"conditional_sum": 0.0}, ["rsr"]),
        (
            {"conditional_sum": math.nan},
            ["conditional_ppl", "ifd", "ic_ifd", "ifd_ppl", "response_loss", "rsr", "grape"],
        ),
        ({"instruction_sum": math.nan, "direct_sum": 0.0}, ["instruction_ppl", "ifd", "ic_ifd"]),
    ],
)
def test_a_value_that_does_not_exist_is_null_with_its_reason(changed: dict[str, float], absent: list[str]) -> None:
    scores = scores_of(replace(LOSSES, **changed), OF_LOSSES)
    assert [name for name in OF_LOSSES if scores[name] is None] == absent
    assert scores["score_reason"] == f"no finite value for {', '.join(absent)}"


@given(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 3))
def test_no_loss_whatever_makes_a_number_that_is_none(sums: tuple[float, float, float]) -> None:
    scores = scores_of(replace(LOSSES, instruction_sum=sums[0], conditional_sum=sums[1], direct_sum=sums[2]), OF_LOSSES)
    for name in OF_LOSSES:
        value = scores[name]
        assert value is None or math.isfinite(float(value))


def test_a_pair_without_losses_has_the_same_columns() -> None:
    scores = scores_of("empty output")
    assert scores.keys() == scores_of(LOSSES).keys()
    assert scores.pop("score_reason") == "empty output"
    assert set(scores.values()) == {None}


def test_what_is_asked_for_and_what_is_always_written() -> None:
    assert set(OF_LOSSES) - set(ALWAYS) == {"ifd", "ic_ifd", "grape"}
    assert {metric.name for metric in chosen(["ifd"])} == {*ALWAYS, "ifd"}
    assert set(scores_of(LOSSES, ["ifd_ppl"])) == {*ALWAYS, "score_reason"}
    with pytest.raises(InputError, match="unknown metric idf") as caught:
        chosen(["idf", "ifd"])
    assert "ic_ifd" in caught.value.fix


def test_columns_match_the_scores() -> None:
    for names in (["ifd_ppl"], ["ic_ifd"], ["ic_ifd", "ifd"]):
        row = {**scores_of(LOSSES, names), "base_model": "hf:x"}
        fields = [field for field in schema(columns_of(names)) if field.name not in COLUMNS]
        assert {field.name for field in fields} == set(row)
        table = pa.Table.from_pylist([row, {**scores_of("why", names), "base_model": "hf:x"}], pa.schema(fields))
        assert table.to_pylist()[0] == row
    assert [column.name for column in columns_of()] == [
        *(name for name in METRICS if name in (*ALWAYS, *DEFAULT_METRICS)),
        "base_model",
        "score_reason",
    ]


def test_every_column_says_its_unit_and_which_values_are_kept() -> None:
    columns = {column.name: column for metric in METRICS.values() for column in metric.columns}
    assert all(column.unit for column in columns.values())
    assert {name for name, column in columns.items() if column.better == "lower"} == {
        "instruction_ppl",
        "instruction_tokens",
        "response_loss",
        "rsr",
        "repeats",
    }


def test_one_name_may_stand_alone() -> None:
    assert chosen("ifd") == chosen(["ifd"])
    with pytest.raises(InputError, match="unknown metric iffd"):
        chosen("iffd")
