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
NODE = {"test_setup_code": "root = Node(Node(None))", "test_list": ["assert depth(root) == 2"]}
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
        ("1. So:\n   ```python\n   def half(n):\n       return n // 2\n   ```", "def half(n):\n    return n // 2\n"),
        ("  ```python\n      return n // 2\n  ```", "    return n // 2\n"),  # what completes a prompt keeps its own
        ("```bash\npip install it\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nhalf(4)\n```\n```python\nhalf = lambda n: n // 2\n```", "half = lambda n: n // 2\n"),
        ("```julia\nx = 1\n```", "x = 1\n"),
        ("Use `half(n)` for it.", "Use `half(n)` for it."),
    ],
)
def test_the_code_of_a_reply(reply: str, code: str) -> None:
    assert code_in(reply, ["half"]) == code


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("import re\nN = 2\ndef f():\n    return N\nprint(f())\nf = f()", "import re\nN = 2\n\ndef f():\n    return N"),
        (
            "def f():\n    pass\nassert f()\nclass A:\n    pass\nimport re",
            "def f():\n    pass\n\nclass A:\n    pass\nimport re",
        ),
        ("print(1)\ndef f(): pass\nif __name__ == '__main__':\n    f()", "def f():\n    pass"),
        ("def f(): pass\nx = f()", "def f():\n    pass\ntry:\n    x = f()\nexcept BaseException:\n    pass"),
        (
            "x = 1\nfrom __future__ import division\ndef f(): pass",
            "from __future__ import division\nx = 1\n\ndef f():\n    pass",
        ),
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
        (
            humaneval,
            HALF,
            "```python\nfrom __future__ import annotations\ndef half(n: Whole) -> Whole:\n    return n // 2\n```",
            1,
            None,
        ),
        (humaneval, HALF, "    return n // 2\n\nprint(half('a'))\nassert half(3) == 2", 1, None),
        (humaneval, HALF, "    return n / 2\n\nassert True", 0, "AssertionError"),
        (humaneval, HALF, "I cannot do that.", 0, "SyntaxError"),
        (humaneval, HALF, "", 0, NO_CODE),
        (humaneval, HALF, " \n", 0, NO_CODE),
        (humaneval, HALF, "    while True:\n        pass\n", 0, "time limit"),
        (humaneval, HALF, "    import os\n    os._exit(0)\n", 0, "exited with status 0"),
        (mbpp, TWICE, "```python\ndef twice(n):\n    return 2 * n\n```", 1, None),
        (mbpp, TWICE, "def twice(n): return n + 2", 0, "AssertionError"),
        (mbpp, TWICE, "def twice(n):\n    return 2 * n\ntwice = twice('a') + 1", 1, None),
        (mbpp, TWICE, "def helper(n): return 2 * n\ntwice = lambda n: helper(n)\nprint(twice(1 / 0))", 1, None),
        (mbpp, TWICE, "def mul(a, b): return a * b\nfrom functools import partial\ntwice = partial(mul, 2)", 1, None),
        (mbpp, TWICE, "def twice(n): return TABLE[n]\nTABLE = {2: 4, -1: -2}", 1, None),
        (mbpp, TWICE, "found = {}\nfound.update({2: 4, -1: -2})\ndef twice(n): return found[n]", 1, None),
        (
            mbpp,
            TWICE,
            "def twice(n): return found[n]\ndef fill(): found.update({2: 4, -1: -2})\nfound = {}\nfill()",
            1,
            None,
        ),
        (mbpp, TWICE, "def twice(n): return 2 * n\nn = int(input())\nresult = twice(n)\nexit()", 1, None),
        (mbpp, TWICE, "```python\ntwice(4)\n```\nby\n```python\ndef twice(n): return 2 * n\n```", 1, None),
        (
            mbpp,
            NODE,
            "class Node:\n    def __init__(self, left): self.left = left\ndef depth(node):\n"
            "    return 1 + depth(node.left) if node else 0",
            1,
            None,
        ),
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
