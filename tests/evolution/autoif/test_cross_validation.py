"""Cross-validation: held against a definition written down naively, and against the published sample data."""

import asyncio
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.errors import InputError
from evolvent.evolution.autoif.cross_validation import Validated, cross_validate
from evolvent.evolution.autoif.functions import Case, Sample, parse_sample
from evolvent.evolution.autoif.rules import ANY, PROFILES, Bound, Rules
from evolvent.sandbox.sandbox import Sandbox, require_sandbox
from evolvent.sandbox.verdicts import Evaluation, Verdict
from tests.evolution.autoif.published import published

CODE, PAPER, PAPER_1 = (PROFILES[name] for name in ("autoif-code", "autoif-paper", "paper1"))
ANY_CASE = replace(PAPER, case_share=ANY)
NO_COMMA = "def evaluate(response):\n    return ',' not in response"
SPELLED = "def evaluate(response):\n    return response.count(',') == 0"
ALWAYS = "def evaluate(response):\n    return True"
NEVER = "def evaluate(response):\n    return False"
NO_FUNCTION = "print('hello')"


def validated(samples: list[Sample], rules: Rules) -> Validated:
    """Cross-validation with functions that run."""

    async def run() -> Validated:
        async with Sandbox(workers=1) as sandbox:
            return await cross_validate(samples, rules, sandbox)

    try:
        require_sandbox(unsafe=False)
    except InputError as error:
        pytest.skip(error.message)
    return asyncio.run(run())


def sample(code: str, **cases: bool | str) -> Sample:
    """A function with cases: their inputs as names, where _ is a comma."""
    return Sample(code, tuple(Case(name.replace("_", ","), output) for name, output in cases.items()))


# --- the published data -------------------------------------------------------------------------------------------

PUBLISHED = {  # rules: functions, cases, kept cases, kept functions of the five instructions
    "autoif-code": ([8, 6, 8, 7, 7], [23, 18, 24, 17, 24], [16, 13, 21, 13, 10], [2, 3, 0, 5, 7]),
    "autoif-paper": ([8, 6, 8, 7, 7], [23, 18, 24, 17, 24], [9, 7, 9, 13, 10], [8, 6, 8, 7, 7]),
    "paper1": ([8, 6, 8, 7, 7], [23, 18, 24, 17, 24], [16, 13, 21, 13, 10], [2, 3, 0, 5, 7]),
}


@pytest.mark.parametrize("profile", PUBLISHED)
def test_the_published_samples(profile: str) -> None:
    rows = published("eval_func_rft.jsonl")
    found = [validated(_samples(row), PROFILES[profile]) for row in rows]
    names = ("functions", "cases", "kept cases", "kept functions")
    assert tuple([one.counts[name] for one in found] for name in names) == PUBLISHED[profile]
    survivors = [len(one.functions) for one in found]
    assert survivors == PUBLISHED[profile][3]
    assert [len(one.cases) for one in found] == [
        kept if alive else 0 for kept, alive in zip(PUBLISHED[profile][2], survivors, strict=True)
    ]
    assert [one.reason for one in found] == [None if alive else "no function agreed" for alive in survivors]


def test_the_shares_of_the_published_samples() -> None:
    shares = [
        [round(share, 3) for _, share in validated(_samples(row), CODE).functions]
        for row in published("eval_func_rft.jsonl")
    ]
    assert sorted(shares[0]) == [0.812, 0.938]
    assert shares[1:3] == [[1, 1, 1], []]
    assert sorted(shares[3]) == [0.846, 1, 1, 1, 1]
    assert shares[4] == [1] * 7


def test_the_papers_words_taken_literally() -> None:
    """The share of a function over all cases, the dropped ones included; in docs/methods/autoif.md, too."""
    rules = replace(PAPER, over_kept_cases=False)
    found = [validated(_samples(row), rules) for row in published("eval_func_rft.jsonl")]
    assert [len(one.functions) for one in found] == [2, 3, 4, 6, 0]


def _samples(row: dict[str, Any]) -> list[Sample]:
    read = [parse_sample(reply) for reply in row["gpt-answer"]]
    assert all(isinstance(one, Sample) or one.startswith("broken JSON") for one in read)
    return [one for one in read if isinstance(one, Sample)]


# --- the definition, said naively ---------------------------------------------------------------------------------


class Table(Sandbox):
    """A sandbox whose verdicts are written down: function "f0" is the table's first row; None: it does not load."""

    def __init__(self, rows: list[list[bool | None] | None]) -> None:
        self.rows = rows

    async def evaluate(self, functions: Any, responses: Any) -> list[Evaluation]:
        found = []
        for code in functions:
            row = self.rows[int(code[1:])]
            values = [None if row is None else row[int(text[1:])] for text in responses]
            verdicts = tuple(Verdict(value, None if value is not None else "why") for value in values)
            found.append(Evaluation(verdicts, "it does not load" if row is None else None))
        return found


def naive(samples: list[Sample], rows: list[list[bool | None] | None], rules: Rules) -> tuple[Any, ...]:
    """Cross-validation in the words of its definition, one loop each; counts and compares as whole numbers."""

    def enough(part: int, whole: int, bound: Bound) -> bool:
        numerator, denominator = {0.0: (0, 1), 0.5: (1, 2), 0.8: (4, 5), 1.0: (1, 1)}[bound.value]
        ahead = part * denominator - numerator * whole
        return ahead >= 0 if bound.inclusive else ahead > 0

    functions: list[int] = []
    cases: list[Case] = []
    for one in samples:
        number = int(one.code[1:])
        if rows[number] is None:
            continue
        if number not in functions:
            functions.append(number)
        for case in one.cases:
            if not any(
                json.dumps([known.input, known.output]) == json.dumps([case.input, case.output]) for known in cases
            ):
                cases.append(case)
    if len(functions) < rules.least_functions:
        return "too few functions", [], []
    if len(cases) < rules.least_cases:
        return "too few cases", [], []

    def agrees(number: int, case: Case) -> bool:
        verdict = rows[number][int(case.input[1:])]
        return verdict is not None and case.output in (True, False) and verdict is case.output

    kept = []
    for case in cases:
        if enough(sum(agrees(number, case) for number in functions), len(functions), rules.case_share):
            kept.append(case)
    if not kept:
        return "no case agreed", [], []
    over = kept if rules.over_kept_cases else cases
    surviving = []
    for number in functions:
        right = sum(agrees(number, case) for case in over)
        if enough(right, len(over), rules.function_share):
            surviving.append((f"f{number}", right / len(over)))
    if not surviving:
        return "no function agreed", [], []
    return None, surviving, kept


BOUNDS = st.builds(Bound, st.sampled_from([0.0, 0.5, 0.8, 1.0]), st.booleans())
RULES = st.sampled_from([CODE, PAPER, PAPER_1]) | st.builds(
    Rules,
    least_functions=st.integers(1, 3),
    least_cases=st.integers(1, 4),
    case_share=BOUNDS,
    function_share=BOUNDS,
    over_kept_cases=st.booleans(),
)
VERDICT = st.sampled_from([True, True, False, False, None])
OUTPUT = st.sampled_from([True, True, False, False, '"True"', "null"])
CASE = st.builds(Case, st.integers(0, 7).map(lambda number: f"i{number}"), OUTPUT)


@given(st.data(), RULES)
def test_it_is_the_definition(data: st.DataObject, rules: Rules) -> None:
    row = st.lists(VERDICT, min_size=8, max_size=8)
    rows = data.draw(st.lists(st.one_of(row, row, row, st.none()), min_size=1, max_size=6))
    codes = st.integers(0, len(rows) - 1).map(lambda number: f"f{number}")
    samples = data.draw(st.lists(st.builds(Sample, codes, st.lists(CASE, max_size=5).map(tuple)), max_size=8))
    found = asyncio.run(cross_validate(samples, rules, Table(rows)))
    reason, functions, cases = naive(samples, rows, rules)
    assert (found.reason, list(found.functions), list(found.cases)) == (reason, functions, cases)
    assert all(type(case.output) is bool for case in found.cases) or rules.case_share == Bound(0.0, inclusive=True)


@given(st.data())
def test_kept_functions_and_cases_do_not_depend_on_the_order_of_samples(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(VERDICT, min_size=8, max_size=8), min_size=3, max_size=6))
    samples = [Sample(f"f{number}", tuple(data.draw(st.lists(CASE, max_size=5)))) for number in range(len(rows))]
    shuffled = data.draw(st.permutations(samples))
    rules = replace(CODE, least_cases=1)
    first, second = (asyncio.run(cross_validate(order, rules, Table(rows))) for order in (samples, shuffled))
    assert first.reason == second.reason
    assert sorted(first.functions) == sorted(second.functions)
    assert set(first.cases) == set(second.cases)


# --- single points, with functions that run -----------------------------------------------------------------------


def test_a_function_and_a_case_count_once() -> None:
    found = validated([sample(NO_COMMA, a=True, _=False)] * 3 + [sample(SPELLED, a=True, b=True)], PAPER)
    assert (found.counts["functions"], found.counts["cases"]) == (2, 3)
    assert found.functions == ((NO_COMMA, 1.0), (SPELLED, 1.0))
    assert found.cases == (Case("a", True), Case(",", False), Case("b", True))


def test_a_function_that_cannot_be_loaded_takes_its_cases_with_it() -> None:
    found = validated([sample("def evaluate(", a=True), sample(NO_FUNCTION, b=True), sample(NO_COMMA, c=True)], PAPER)
    assert found.functions == ((NO_COMMA, 1.0),)
    assert found.cases == (Case("c", True),)
    assert (found.counts["functions"], found.counts["functions not loaded"], found.counts["cases"]) == (1, 2, 1)


def test_imports_and_other_functions_at_the_top_are_seen_within() -> None:
    code = (
        "import re\n"
        "def words(text):\n    return re.findall('[a-z]+', text)\n"
        "def evaluate(response):\n    return len(words(response)) == 2"
    )
    found = validated([sample(code, ab=False, a_b=True)], PAPER)
    assert found.functions == ((code, 1.0),)
    assert found.counts["no verdict"] == 0


def test_one_function_sees_nothing_of_another() -> None:
    """AutoIF's own script lets the last definition of a name win for all."""
    first, second = (
        f"def limit():\n    return {limit}\ndef evaluate(response):\n    return len(response) < limit()"
        for limit in (2, 9)
    )
    found = validated([sample(first, a=True, aaaa=False), sample(second, aaaa=True, aaaaaaaaaa=False)], ANY_CASE)
    assert found.functions == ((first, 0.75), (second, 0.75))
    assert found.counts["kept cases"] == 4


def test_text_in_place_of_true_or_false_agrees_with_nothing() -> None:
    found = validated([sample(ALWAYS, a='"True"', b=True)], PAPER)
    assert found.cases == (Case("b", True),)
    assert found.counts["cases without true or false"] == 1


def test_no_verdict_is_no_agreement() -> None:
    shaky = "def evaluate(response):\n    return len(response) > 1 or 1 / 0 > 0"
    answers_text = "def evaluate(response):\n    return 'True'"
    found = validated([sample(shaky, aa=True, a=False), sample(answers_text, b=True)], ANY_CASE)
    assert found.counts["no verdict"] == 5
    assert found.cases == (Case("aa", True),)
    assert found.functions == ((shaky, 1.0),)


@pytest.mark.parametrize(
    ("samples", "rules", "reason"),
    [
        ([], PAPER, "too few functions"),
        ([sample("def evaluate(", a=True)], PAPER, "too few functions"),
        ([sample(ALWAYS, **dict.fromkeys("abcdefghij", True)), sample(NO_COMMA)], CODE, "too few functions"),
        ([sample(ALWAYS)], PAPER, "too few cases"),
        (
            [sample(ALWAYS, **dict.fromkeys("abcdefghi", True)), sample(NO_COMMA), sample(SPELLED)],
            CODE,
            "too few cases",
        ),
        ([sample(ALWAYS, a=False)], PAPER, "no case agreed"),
        (
            [sample(ALWAYS, a=True), sample(NEVER, b=False)],
            replace(ANY_CASE, function_share=Bound(0.5, False)),
            "no function agreed",
        ),
    ],
)
def test_why_nothing_came_through(samples: list[Sample], rules: Rules, reason: str) -> None:
    found = validated(samples, rules)
    assert (found.reason, found.functions, found.cases) == (reason, (), ())


def test_exactly_as_many_as_the_code_asks_for() -> None:
    samples = [sample(ALWAYS, **dict.fromkeys("abcdefghij", True)), sample(NO_COMMA), sample(SPELLED)]
    found = validated(samples, CODE)
    assert found.reason is None
    assert [share for _, share in found.functions] == [1.0, 1.0, 1.0]
    assert math.fsum(share for _, share in found.functions) == 3
