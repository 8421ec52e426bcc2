"""What kind of task an instruction is, by its words: code, a calculation, or any other text.

Demonstrations are drawn from those of the seed's kind: to small models an essay shows little of how to make a
calculation harder.
"""

import re
from typing import Literal

TaskKind = Literal["text", "math", "code"]

_CODE = re.compile(
    r"\b(?:code|coding|function|python|java|javascript|typescript|html|css|sql|query|php|ruby|regex|algorithm|json|xml"
    r"|script|program|api)\b|\bregular expression|\bc\+\+|\bc#|```|\bdef \w+\(|;\n|[{}]",
    re.IGNORECASE,
)
_ASKS_A_NUMBER = re.compile(
    r"\bhow (?:many|much|long|far|old|fast|tall|often)\b"
    r"|\b(?:calculate|find|what(?: is|'s| was| are)) the (?:\w+ )?"
    r"(?:total|sum|average|number|area|length|value|percentage|price|cost|probability)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d+|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|half|twice|third|quarter|dozen)\b",
    re.IGNORECASE,
)


def task_kind(instruction: str, input: str = "") -> TaskKind:
    """The kind of a task: ``code`` if it names code or holds some, ``math`` if it asks for a number by two, else
    ``text``."""
    text = f"{instruction}\n{input}"
    if _CODE.search(text):
        return "code"
    return "math" if _ASKS_A_NUMBER.search(text) and len(_NUMBER.findall(text)) > 1 else "text"
