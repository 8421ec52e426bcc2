"""Which questions can be queries, which an instruction draws, and the text of the two together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.autoif.queries import combined, drawn, eligible
from evolvent.evolution.autoif.rules import Rules
from evolvent.records import Message, Record
from tests.evolution.autoif.published import published

QUERIES = [f"What is number {number} of all these?" for number in range(200)]


def record(instruction: str, input: str = "") -> Record:
    return Record("s", "s", 0, instruction, input)


def test_queries_are_longer_than_20_and_shorter_than_300_characters_and_each_comes_once() -> None:
    texts = ["a" * 20, "b" * 21, "c" * 299, "d" * 300, "b" * 21, f"  {'b' * 21}\n", " " * 100 + "e"]
    found = eligible(map(record, texts), Rules())
    assert found.texts == ["b" * 21, "c" * 299]
    assert found.left_out == {"too short": 2, "too long": 1, "duplicate": 2}


def test_bounds_are_those_of_the_rules() -> None:
    found = eligible(map(record, ["12", "123", "1234", "12345"]), Rules(query_longer_than=2, query_shorter_than=5))
    assert found == (["123", "1234"], {"too short": 1, "too long": 1})


def test_a_question_is_the_instruction_with_its_input_or_the_first_user_turn() -> None:
    turns = [Message(role="user", content="Who wrote that long book?"), Message(role="assistant", content="He.")]
    talk = Record("t", "t", 1, turns[0]["content"], messages=[*turns, Message(role="user", content="And this one?")])
    assert eligible([record("Add these numbers.", "3, 4 and 5"), talk], Rules()).texts == [
        "Add these numbers.\n3, 4 and 5",
        "Who wrote that long book?",
    ]


def test_what_an_instruction_draws_is_its_own() -> None:
    first, second = drawn("one", QUERIES, 16, seed=0), drawn("two", QUERIES, 16, seed=0)
    assert first == drawn("one", QUERIES, 16, seed=0)
    assert first != second
    assert first != drawn("one", QUERIES, 16, seed=1)
    # Whoever asks for fewer gets the first of them: the calls of the smaller run serve the larger one.
    assert first[:8] == drawn("one", QUERIES, 8, seed=0)


def test_the_draw_stays_what_it_is() -> None:
    assert drawn("0123456789abcdef", list("abcdefghijklmnopqrstuvwxyz"), 5, seed=7) == ["s", "v", "a", "g", "u"]


@given(st.text(), st.lists(st.integers(), unique=True), st.integers(0, 40), st.integers(0, 2**31))
def test_draws_are_without_replacement_and_all_where_there_are_fewer(
    id: str, numbers: list[int], count: int, seed: int
) -> None:
    queries = [str(number) for number in numbers]
    found = drawn(id, queries, count, seed)
    assert len(found) == len(set(found)) == min(count, len(queries))
    assert set(found) <= set(queries)


@pytest.mark.parametrize(
    ("query", "instruction", "expected"),
    [
        ("what is rain?", "use no commas", "What is rain? Use no commas."),
        ("tell me of node.js and why", "use no commas", "Tell me of node.js and why Use no commas."),
        ("tell me of rain", "use no commas", "Tell me of rain. Use no commas."),
        ("rain!", "use no commas", "Rain!. Use no commas."),
        ("what is rain?", "use no commas.", "What is rain? Use no commas."),
        ("what is rain?", "use no commas!", "What is rain? Use no commas!"),
        ("why?", 'end with "why?"', 'Why? End with "why?".'),
        (" what is rain?\n", " use no commas ", "What is rain? Use no commas."),
        ("", "use no commas", "Use no commas."),
        ("what is rain", "", "What is rain"),
        ("", "", ""),
        ("Ärger?", "écris peu", "Ärger? Écris peu."),
    ],
)
def test_combined(query: str, instruction: str, expected: str) -> None:
    assert combined(query, instruction) == expected


def test_published_rows_get_the_texts_of_the_published_script() -> None:
    rows = published("query_score_filter.jsonl")
    assert len(rows) == 16
    for row in rows:
        query = row["query"][0].upper() + row["query"][1:]
        instruction = row["instruction"][0].upper() + row["instruction"][1:]
        between = " " if set(query) & {"?", "."} else ". "
        assert combined(row["query"], row["instruction"]) == query + between + instruction + "."
