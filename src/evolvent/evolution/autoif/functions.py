"""AutoIF, step 2: the verification function and its test cases in a model's reply."""

import json
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from evolvent.evolution.autoif.salvage import defines_evaluate, is_name, source_in, with_raw_line_breaks

FENCE = "```"
_OPENING = f"{FENCE}json"


@dataclass(frozen=True, slots=True)
class Case:
    """A test case of a verification function.

    Attributes:
        input: an answer.
        output: whether it follows the instruction. What a model wrote instead of true or false ("True" in quotes, for
            one) stands here as JSON text: no verdict equals it, so cross-validation never keeps such a case.
    """

    input: str
    output: bool | str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a model wrote for an instruction.

    Attributes:
        code: source of the function ``evaluate(response)``.
        cases: the test cases that came with it.
        broken_cases: how many more came that have no output or no text as input.
        salvaged: what was wrong with a reply of which it could be taken all the same.
    """

    code: str
    cases: tuple[Case, ...]
    broken_cases: int = 0
    salvaged: str | None = None


def parse_sample(reply: str) -> Sample | str:
    """The function and the cases in a reply, or why there are none.

    As AutoIF's ``3_cross_validation.py`` reads them, with three differences. The JSON ends where its object ends, not
    at the first fence: a function that looks for fenced code holds one. No line is cut out for naming ``requests`` or
    ``download``: functions run where there is no network, and code that lost a line may not run at all. A case whose
    input is no text is left out.

    Where the code would find no function, the reply may hold one all the same, and only one: in strings with raw line
    breaks, in JSON without a fence or whose fence is not closed, in a fence of Python. It is taken then.
    """
    sample = _asked_for(reply)
    if isinstance(sample, Sample) and not is_name(sample.code):
        return sample
    salvaged = _salvaged(reply)
    if salvaged is None:
        return sample
    return replace(salvaged, salvaged="a name for its source" if isinstance(sample, Sample) else sample)


def _salvaged(reply: str) -> Sample | None:
    """The one function of a reply that does not hold it as it should, with the cases beside it; None if there is none.

    Without a JSON object that can be read the function comes without cases: those of other samples test it.
    """
    begin = reply.find("{", max(reply.find(_OPENING), 0))
    content: Any = None
    sample: Sample | str = ""
    try:
        content = with_raw_line_breaks(reply[begin:]) if begin >= 0 else None
        sample = _sample(content, FENCE)
    except (ValueError, RecursionError):
        content = None
    if isinstance(sample, Sample) and defines_evaluate(sample.code):
        return sample
    code = source_in(reply, content)
    if code is None or not is_text(code):
        return None
    cases = _sample({**content, "func": code}, FENCE) if isinstance(content, dict) else None
    return cases if isinstance(cases, Sample) else Sample(code, ())


def _asked_for(reply: str) -> Sample | str:
    """The function and the cases in the form that was asked for, or why they are not there."""
    opening = reply.find(_OPENING)
    if opening < 0:
        return "no fenced JSON"
    block = reply[opening + len(_OPENING) :]
    try:
        content, rest = leading_json(block)
        return _sample(content, rest)
    except json.JSONDecodeError as error:
        return f"broken JSON: {error.msg}"
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
        return "broken JSON: no reasonable values"


def leading_json(text: str) -> tuple[Any, str]:
    """The JSON value that a text begins with, and the text behind it, both without the blanks around them.

    Raises:
        ValueError: it begins with none, or with a number of thousands of digits.
        RecursionError: thousands of brackets.
    """
    text = text.lstrip()
    content, end = json.JSONDecoder().raw_decode(text)
    return content, text[end:].strip()


def _sample(content: Any, rest: str) -> Sample | str:
    """The function and the cases in a JSON value, with what stands behind it."""
    if not rest.startswith(FENCE):
        return "broken JSON: more after the object" if rest else "no fenced JSON"
    if not isinstance(content, dict):
        return "no JSON object"
    code = content.get("func")
    if not is_text(code) or not code.strip():
        return "no function"
    rows = content.get("cases")
    if not isinstance(rows, list):
        return "no cases"
    cases = tuple(
        Case(row["input"], _output(row["output"]))
        for row in rows
        if isinstance(row, dict) and "output" in row and is_text(row.get("input"))
    )
    return Sample(code.strip(), cases, len(rows) - len(cases))


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a text that can be written to a file: JSON can name halves of characters, too."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _output(value: object) -> bool | str:
    """True, false, or another value's JSON text; 1 and 0 are true and false, as in Python they are."""
    return bool(value) if value in (True, False) else json.dumps(value)
