"""A verification function that stands elsewhere in a reply than it was asked for, where it is certain which it is."""

import ast
import json
import re
import warnings
from typing import Any

# The name of the function, or a call of it, in the place of its source.
_NAME = re.compile(r"\w+(?:\([^()\n]*\))?")
_FENCED = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>\w*)[ \t]*\n(?P<text>.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.MULTILINE
)
_PYTHON = ("", "py", "python", "python3")


def is_name(code: str) -> bool:
    """Whether a text names a function and is no source of one."""
    return _NAME.fullmatch(code.strip()) is not None


def source_in(reply: str, content: Any = None) -> str | None:
    """The source of ``evaluate`` in a reply: in a fence, or another value of its JSON object; None unless it is one."""
    texts = [fence["text"] for fence in _FENCED.finditer(reply) if fence["language"].lower() in _PYTHON]
    if isinstance(content, dict):
        texts += [value for value in content.values() if isinstance(value, str)]
    sources = {text.strip() for text in texts if defines_evaluate(text)}
    return sources.pop() if len(sources) == 1 else None


def defines_evaluate(code: str) -> bool:
    """Whether a text is Python and defines a function ``evaluate`` that can be called with one answer."""
    if "evaluate" not in code:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an escape that Python does not know
            body = ast.parse(code.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "evaluate" and node.args.args for node in body)


def with_raw_line_breaks(text: str) -> Any:
    """The JSON value that a text begins with, whose strings may hold line breaks and tabs as they are.

    Raises:
        ValueError: it begins with none, or with a number of thousands of digits.
        RecursionError: thousands of brackets.
    """
    return json.JSONDecoder(strict=False).raw_decode(text.lstrip())[0]
