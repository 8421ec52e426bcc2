"""A module in a process of its own: its answers, and that it is replaced where it takes too long or ends."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from evolvent.evaluation import apart as module
from evolvent.evaluation.apart import apart

ANSWERS = """
import json, sys, time
for line in sys.stdin:
    value = json.loads(line)
    if value == "hang":
        time.sleep(60)
    if value == "end":
        sys.exit()
    sys.stdout.write(json.dumps([value, len(str(value))]) + chr(10))
    sys.stdout.flush()
"""


def asked(values: list[Any]) -> list[Any]:
    async def ask_all() -> list[Any]:
        async with apart("answers_of_a_test") as ask:
            return [await ask(value) for value in values]

    return asyncio.run(ask_all())


@pytest.fixture(autouse=True)
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answers_of_a_test.py").write_text(ANSWERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def test_answers() -> None:
    assert asked([1, "ü\n"]) == [[1, 1], ["ü\n", 2]]


def test_what_takes_too_long_or_ends_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.3)
    assert asked([1, "hang", 2, "end", 3]) == [[1, 1], None, [2, 1], None, [3, 1]]


def test_math_is_compared_as_mathematics() -> None:
    pytest.importorskip("math_verify")

    async def ask_all() -> list[Any]:
        async with apart("evolvent.evaluation.math_answers") as ask:
            return [await ask(["\\frac{1}{2}", reply]) for reply in ("It is \\boxed{0.5}.", "\\boxed{2}", "", "half")]

    assert asyncio.run(ask_all()) == [True, False, False, False]
