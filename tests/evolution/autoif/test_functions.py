"""The function and the cases in a model's reply: exactly as AutoIF's code reads them, where that is sound."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.autoif.functions import Case, Sample, parse_sample

CODE = "def evaluate(response):\n    return ',' not in response"
CASES = [{"input": "a b", "output": True}, {"input": "a, b", "output": False}]


def fenced(content: object) -> str:
    return f"Here it is.\n```json\n{content if isinstance(content, str) else json.dumps(content)}\n```\nGood luck!"


def test_a_function_with_its_cases() -> None:
    assert parse_sample(fenced({"func": f"\n{CODE}\n", "cases": CASES})) == Sample(
        CODE, (Case("a b", True), Case("a, b", False))
    )


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "no fenced JSON"),
        (fenced('{"func": 3'), "broken JSON: Expecting ',' delimiter"),
        (fenced(r'{"func": "\d", "cases": []}'), r"broken JSON: Invalid \escape"),
        (fenced(""), "broken JSON: Expecting value"),
        (fenced('{"func": "f", "cases": []} {}'), "broken JSON: more after the object"),
        (fenced("[" * 100_000), "broken JSON: no reasonable values"),
        (fenced('{"func": ' + "9" * 5000 + "}"), "broken JSON: no reasonable values"),
        (fenced([CODE, CASES]), "no JSON object"),
        (fenced({"cases": CASES}), "no function"),
        (fenced({"func": " \n", "cases": CASES}), "no function"),
        (fenced({"func": [CODE], "cases": CASES}), "no function"),
        (fenced('{"func": "\\ud800", "cases": []}'), "no function"),
    ],
)
def test_replies_of_no_use(reply: str, why: str) -> None:
    assert parse_sample(reply) == why


READ = (Case("a b", True), Case("a, b", False))
OBJECT = json.dumps({"func": CODE, "cases": CASES})
NAMED = json.dumps({"func": "evaluate", "cases": CASES})


@pytest.mark.parametrize(
    ("reply", "sample"),
    [
        (OBJECT, Sample(CODE, READ, salvaged="no fenced JSON")),
        (f"```json\n{OBJECT}", Sample(CODE, READ, salvaged="no fenced JSON")),
        (f"```python\n{CODE}\n```", Sample(CODE, (), salvaged="no fenced JSON")),
        (f"```python\n{CODE}", Sample(CODE, (), salvaged="no fenced JSON")),
        (
            fenced(OBJECT.replace(r"\n", "\n")),
            Sample(CODE, READ, salvaged="broken JSON: Invalid control character at"),
        ),
        (f"```python\n{CODE}\n```\n{fenced(NAMED)}", Sample(CODE, READ, salvaged="a name for its source")),
        (
            fenced({"func": "evaluate(response)", "code": CODE, "cases": CASES}),
            Sample(CODE, READ, salvaged="a name for its source"),
        ),
        (fenced({"func": CODE}), Sample(CODE, (), salvaged="no cases")),
        (fenced({"func": CODE, "cases": {"input": "a"}}), Sample(CODE, (), salvaged="no cases")),
    ],
)
def test_a_function_that_stands_elsewhere_than_it_should(reply: str, sample: Sample) -> None:
    assert parse_sample(reply) == sample


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (fenced(NAMED), Sample("evaluate", READ)),  # no source anywhere: it does not load, and is counted there
        (f"```python\n{CODE}\n```\n```python\n{CODE} or True\n```", "no fenced JSON"),  # which of the two?
        ("```python\nevaluate = 3\n```", "no fenced JSON"),
        ("```python\ndef evaluate(response)\n```", "no fenced JSON"),
        ("```python\ndef evaluate(): return True\n```", "no fenced JSON"),
        (f"```javascript\n{CODE}\n```", "no fenced JSON"),
        (f"Write {CODE}", "no fenced JSON"),
    ],
)
def test_what_is_not_certain_is_not_salvaged(reply: str, found: Sample | str) -> None:
    assert parse_sample(reply) == found


def test_the_first_fenced_json_decides() -> None:
    good = fenced({"func": CODE, "cases": CASES})
    assert isinstance(parse_sample(good + fenced("{")), Sample)
    assert parse_sample(fenced("{") + good) == "broken JSON: Expecting property name enclosed in double quotes"
    assert isinstance(parse_sample("```python\npass\n```\n" + good), Sample)


def test_a_function_that_looks_for_a_fence() -> None:
    code = 'def evaluate(response):\n    return response.count("```") == 2'
    sample = parse_sample(fenced({"func": code, "cases": [{"input": "```\nx\n```", "output": True}]}))
    assert sample == Sample(code, (Case("```\nx\n```", True),))


def test_no_line_is_cut_out_for_what_it_names() -> None:
    code = "import requests\ndef evaluate(response):\n    return 'download' in response"
    sample = parse_sample(fenced({"func": code, "cases": []}))
    assert sample == Sample(code, ())


def test_cases_that_cannot_be_used_are_counted() -> None:
    rows = [
        *CASES,
        {"input": "a"},
        {"output": True},
        "a",
        {"input": 3, "output": True},
        {"input": "\ud800", "output": 1},
    ]
    sample = parse_sample(fenced({"func": CODE, "cases": rows}))
    assert sample == Sample(CODE, (Case("a b", True), Case("a, b", False)), broken_cases=5)


@pytest.mark.parametrize(
    ("written", "output"),
    [
        ("true", True),
        ("false", False),
        ("1", True),
        ("0.0", False),
        ('"True"', '"True"'),
        ('"false"', '"false"'),
        ("null", "null"),
        ("2", "2"),
        ("[true]", "[true]"),
    ],
)
def test_outputs(written: str, output: bool | str) -> None:
    """As Python compares: 1 equals True, the text "True" does not."""
    sample = parse_sample(fenced(f'{{"func": "f", "cases": [{{"input": "a", "output": {written}}}]}}'))
    assert sample == Sample("f", (Case("a", output),))
    assert type(sample.cases[0].output) is type(output)


def test_brackets_that_can_be_read_and_not_written() -> None:
    """Reading may go a level deeper than writing does: whatever the depth, it is a reply like any other."""
    for depth in range(700, 1_000):
        output = "[" * depth + "]" * depth
        found = parse_sample(fenced(f'{{"func": "f", "cases": [{{"input": "a", "output": {output}}}]}}'))
        assert found == "broken JSON: no reasonable values" or found == Sample("f", (Case("a", output),))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    TEXT.filter(str.strip), st.lists(st.tuples(TEXT, st.booleans()), max_size=4), st.sampled_from(["", "Sure!\n", "\n"])
)
def test_whatever_can_be_written_is_read(code: str, cases: list[tuple[str, bool]], before: str) -> None:
    rows = [{"input": text, "output": output} for text, output in cases]
    reply = before + fenced({"func": code, "cases": rows})
    assert parse_sample(reply) == Sample(code.strip(), tuple(Case(*case) for case in cases))


@given(st.text(max_size=60), st.integers(0, 200))
def test_no_reply_makes_it_stumble(noise: str, place: int) -> None:
    reply = fenced({"func": CODE, "cases": CASES})
    parse_sample(noise)
    parse_sample(reply[:place] + noise + reply[place:])


@given(st.text(st.characters(exclude_characters="`"), max_size=30), st.booleans())
def test_without_inner_fences_it_reads_what_the_papers_code_reads(noise: str, closed: bool) -> None:
    """Steps 1 and 2 of 3_cross_validation.py, as its definition says them."""
    reply = f"```json{noise}" + ("```" if closed else "")
    blocks = re.findall("```json(.*?)```", reply, re.DOTALL)
    try:
        expected = json.loads(blocks[0].strip()) if blocks else None
    except json.JSONDecodeError:
        expected = None
    if expected is None:
        assert isinstance(parse_sample(reply), str)
