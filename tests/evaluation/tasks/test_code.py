"""HumanEval's and MBPP's verdicts: the code that is taken from a reply, and what is run."""

import asyncio
from typing import Any

import pytest

from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks import humaneval, mbpp
from evolvent.evaluation.tasks.code import NO_CODE, code_in, definitions
from evolvent.records import Score
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox
from tests.sandbox.wall import needs_wall

PROMPT = 'from math import floor\n\n\ndef half(n: int) -> int:\n    """Half of it."""\n'
HALF = {"prompt": PROMPT, "entry_point": "half", "test": "def check(candidate):\n    assert candidate(5) == 2\n"}
TWICE = {"text": "Twice.", "test_setup_code": "", "test_list": ["assert twice(2) == 4", "assert twice(-1) == -2"]}
SANITIZED = {"prompt": "Twice.", "test_imports": ["import math"], "test_list": ["assert twice(math.e) == 2 * math.e"]}


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("x = 1", "x = 1"),
        ("Look:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```py\nx = 1", "x = 1"),  # cut at the token limit
        (
            "```python\nhalf(4)\n```\nwith\n```python\ndef half(n):\n    return n // 2\n```",
            "def half(n):\n    return n // 2\n",
        ),
        ("```python\na = 1\n```\n```python\nb = 2\n```", "a = 1\n"),
        ("  ```python\n  x = 1\n  ```", "  x = 1\n"),
        ("Use `half(n)` for it.", "Use `half(n)` for it."),
    ],
)
def test_the_code_of_a_reply(reply: str, code: str) -> None:
    assert code_in(reply, name="half") == code


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("import re\nN = 2\ndef f():\n    return N\nprint(f())\nf = f()", "import re\nN = 2\n\ndef f():\n    return N"),
        (
            "def f():\n    pass\nassert f()\nclass A:\n    pass\nimport re",
            "def f():\n    pass\n\nclass A:\n    pass\nimport re",
        ),
        ("x = 1\nprint(x)", "x = 1\nprint(x)"),
        ("def f(:", "def f(:"),
        ("(" * 500, "(" * 500),
        ("def f(): return " + "-" * 5000 + "1", "def f(): return " + "-" * 5000 + "1"),
        ("\0", "\0"),
    ],
)
def test_what_a_reply_does_with_its_own_functions_is_left_out(code: str, kept: str) -> None:
    assert definitions(code) == kept


@needs_wall
@pytest.mark.parametrize(
    ("module", "document", "reply", "passed", "why"),
    [
        (humaneval, HALF, "    return n // 2\n", 1, None),  # completes the prompt
        (
            humaneval,
            HALF,
            "Here:\n```python\ndef half(n):\n    return floor(n / 2)\n```",
            1,
            None,
        ),  # the prompt's import
        (humaneval, HALF, "```python\ndef half(n):\n    return n / 2\n```", 0, "AssertionError"),
        (humaneval, HALF, "```python\ndef halve(n):\n    return n // 2\n```", 0, "AssertionError"),
        (humaneval, HALF, "```python\ndef half(n):\n    return n // 2\nhalf = half(3) / 0\n```", 1, None),
        (humaneval, HALF, "I cannot do that.", 0, "SyntaxError"),
        (humaneval, HALF, "", 0, NO_CODE),
        (humaneval, HALF, " \n", 0, NO_CODE),
        (humaneval, HALF, "    while True:\n        pass\n", 0, "time limit"),
        (humaneval, HALF, "    import os\n    os._exit(0)\n", 0, "exited with status 0"),
        (mbpp, TWICE, "```python\ndef twice(n):\n    return 2 * n\n```", 1, None),
        (mbpp, TWICE, "def twice(n): return n + 2", 0, "AssertionError"),
        (mbpp, TWICE, "def twice(n):\n    return 2 * n\ntwice = twice('a') + 1", 1, None),
        (mbpp, SANITIZED, "def twice(n): return 2 * n", 1, None),
        (mbpp, TWICE, "```python\n```", 0, NO_CODE),
    ],
)
def test_verdicts(module: Any, document: dict[str, Any], reply: str, passed: float, why: str | None) -> None:
    async def verdict() -> dict[str, Score]:
        async with Sandbox(Limits(seconds=2)) as sandbox:
            return await module.judge(document, reply, Tools(sandbox))  # type: ignore[no-any-return]

    found = asyncio.run(verdict())
    assert found["passed"] == passed
    assert str(found["why_not"]).startswith(str(why))
