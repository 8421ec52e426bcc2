"""AutoIF, step 2: the verification function and its test cases in a model's reply."""

import json
import re
from dataclasses import dataclass
from typing import Any, TypeGuard

FENCE = "```"
_OPENING = f"{FENCE}json"

# A function in a fence of its own, where the JSON holds no more than its name.
_FENCED_SOURCE = re.compile(
    rf"^{FENCE}(?:python|py)?[ \t]*\n(?P<code>(?:(?!{FENCE}).)*?^def evaluate\b(?:(?!^{FENCE}).)*)^{FENCE}",
    re.DOTALL | re.MULTILINE,
)


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
        salvaged: whether the source stood in a fence of its own, and its name in the JSON.
    """

    code: str
    cases: tuple[Case, ...]
    broken_cases: int = 0
    salvaged: bool = False


def parse_sample(reply: str) -> Sample | str:
    """The function and the cases in a reply, or why there are none.

    As AutoIF's ``3_cross_validation.py`` reads them, with five differences. The JSON ends where its object ends, not
    at the first fence: a function that looks for fenced code holds one. No line is cut out for naming ``requests`` or
    ``download``: functions run where there is no network, and code that lost a line may not run at all. A case whose
    input is no text is left out. Line breaks may stand in a text as they are. Where "func" holds no more than a name,
    as small models write it, the source is taken from a fence of its own, if there is one.
    """
    opening = reply.find(_OPENING)
    if opening < 0:
        return "no fenced JSON"
    block = reply[opening + len(_OPENING) :]
    try:
        content, rest = leading_json(block)
        return _sample(content, rest, _FENCED_SOURCE.search(reply))
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
    content, end = json.JSONDecoder(strict=False).raw_decode(text)
    return content, text[end:].strip()


def _sample(content: Any, rest: str, fenced: re.Match[str] | None) -> Sample | str:
    """The function and the cases in a JSON value, with what stands behind it, and a function in a fence of its own."""
    if not rest.startswith(FENCE):
        return "broken JSON: more after the object" if rest else "no fenced JSON"
    if not isinstance(content, dict):
        return "no JSON object"
    code = content.get("func")
    if not is_text(code) or not code.strip():
        return "no function"
    salvaged = "def " not in code and fenced is not None
    if salvaged and fenced is not None:
        code = fenced["code"]
    rows = content.get("cases")
    if not isinstance(rows, list):
        return "no cases"
    cases = tuple(
        Case(row["input"], _output(row["output"]))
        for row in rows
        if isinstance(row, dict) and "output" in row and is_text(row.get("input"))
    )
    return Sample(code.strip(), cases, len(rows) - len(cases), salvaged)


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
