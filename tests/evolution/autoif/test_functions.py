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
        (json.dumps({"func": CODE, "cases": CASES}), "no fenced JSON"),
        (f"```python\n{CODE}\n```", "no fenced JSON"),
        (f"```json\n{json.dumps({'func': CODE, 'cases': CASES})}", "no fenced JSON"),  # cut before the fence closes
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
        (fenced({"func": CODE}), "no cases"),
        (fenced({"func": CODE, "cases": {"input": "a", "output": True}}), "no cases"),
    ],
)
def test_replies_of_no_use(reply: str, why: str) -> None:
    assert parse_sample(reply) == why


def test_line_breaks_may_stand_in_a_text_as_they_are() -> None:
    assert parse_sample(fenced('{"func": "' + CODE + '", "cases": []}')) == Sample(CODE, ())


@pytest.mark.parametrize("language", ["python", "py", ""])
@pytest.mark.parametrize("behind", [True, False])
def test_a_function_whose_name_stands_where_its_source_should(language: str, behind: bool) -> None:
    named, source = fenced({"func": "evaluate", "cases": CASES}), f"```{language}\nimport re\n\n{CODE}\n```\n"
    sample = parse_sample(named + "\n" + source if behind else source + named)
    assert sample == Sample(f"import re\n\n{CODE}", (Case("a b", True), Case("a, b", False)), salvaged=True)
    assert parse_sample(named) == Sample("evaluate", (Case("a b", True), Case("a, b", False)))  # it will not load


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
