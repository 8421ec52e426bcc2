import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.errors import InputError
from evolvent.selection.where import number, parse_condition

numbers = st.floats(allow_nan=False)


@given(numbers, numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_it_compares_as_python_does(value: float, number: float, sign: str) -> None:
    expected = {
        "<": value < number,
        "<=": value <= number,
        ">": value > number,
        ">=": value >= number,
        "==": value == number,
        "!=": value != number,
    }[sign]
    assert parse_condition(f"ifd{sign}{number!r}").holds({"ifd": value}) is expected


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"ifd": None},
        {"ifd": "0.5 nats"},
        {"ifd": "1_0"},
        {"ifd": ""},
        {"ifd": "٣"},
        {"ifd": True},
        {"ifd": math.nan},
    ],
)
def test_what_is_no_number_never_passes(row: dict[str, object]) -> None:
    assert not parse_condition("ifd<1").holds(row)
    assert not parse_condition("ifd>=-1").holds(row)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ifd", "ifd<", "<1", "ifd<one", "ifd<1<2", "ifd=1", "ifd==", "ifd===1", "!=1", "ifd<nan", "ifd==nan"),
        "__import__('os').system('x')<1 2",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="COLUMN<NUMBER"):
        parse_condition(text)


def test_blanks_around_it_do_not_matter() -> None:
    assert str(parse_condition("  ifd  <=  1.5 ")) == "ifd<=1.5"


@pytest.mark.parametrize("text", ["0.5", " 5e-1 ", "+.5", "0.50"])
def test_text_that_is_a_number_is_one(text: str) -> None:
    assert parse_condition("ifd==0.5").holds({"ifd": text})


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63))
def test_every_number_as_python_writes_it_is_read(value: float) -> None:
    assert number(repr(value)) == float(value)
    assert number(value) == value


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("teacher==openai:a/b", True),
        (" teacher == openai:a/b ", True),
        ("teacher==openai:a", False),
        ("teacher!=openai:a", True),
        ("teacher!=openai:a/b", False),
        ("finish reason==it is < 3!=4", True),
        ("none==x", False),
        ("none!=x", False),
        ("gone!=x", False),
        ("round!=x", False),
        ("round!=1", True),
        ("teacher!=1", False),
    ],
)
def test_texts(text: str, holds: bool) -> None:
    row = {"teacher": "openai:a/b", "finish reason": "it is < 3!=4", "none": None, "round": 2}
    assert parse_condition(text).holds(row) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('kind=="open qa, long"', True),
        ("kind == 'open qa, long'", True),
        ("kind==open qa, long", True),
        ('kind!="open qa"', True),
        ('label=="1"', True),
        ("label==1", True),
        ('number=="1"', False),
        ("number==1", True),
        ("quoted==\"'so'\"", True),
        ('empty==""', True),
        ('kind!=""', True),
        ("checked==true", True),
        ("checked!=true", False),
    ],
)
def test_quotes_make_a_text_of_anything(text: str, holds: bool) -> None:
    row = {"kind": "open qa, long", "label": "1", "number": 1, "quoted": "'so'", "empty": "", "checked": True}
    assert parse_condition(text).holds(row) is holds


def test_a_condition_reads_back_as_itself() -> None:
    for text in ("ifd<=1.5", "teacher!=openai:a/b", "a b==c d"):
        assert str(parse_condition(text)) == text
    for text in ('label=="1"', "a==' b'", 'a==""', "a=='\"x\"'", 'a=="nan"'):
        again = str(parse_condition(text))
        assert parse_condition(again) == parse_condition(text)
    with pytest.raises(InputError, match=r"of texts == and !="):
        parse_condition("teacher<b")


def test_columns_with_spaces() -> None:
    condition = parse_condition(" answer quality (1 to 5) >= 4 ")
    assert condition.column == "answer quality (1 to 5)"
    assert condition.holds({"answer quality (1 to 5)": 4})
    assert not condition.holds({"answer": 4})
