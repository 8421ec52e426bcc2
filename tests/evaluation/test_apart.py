"""A module in a process of its own: its answers, and that it is replaced where it takes too long or ends."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import RunError
from evolvent.evaluation import apart as module
from evolvent.evaluation.apart import apart
from evolvent.evaluation.task import Ask, NoVerdict

ANSWERS = """
import json, sys, time
print("ready", flush=True)
for line in sys.stdin:
    value = json.loads(line)
    if value == "hang":
        time.sleep(60)
    if value == "end":
        sys.exit("out of memory")
    sys.stdout.write(json.dumps([value, len(str(value))]) + chr(10))
    sys.stdout.flush()
"""


def asked(values: list[Any]) -> list[Any]:
    async def ask_all() -> list[Any]:
        async with apart("answers_of_a_test") as ask:
            return [await answer(ask, value) for value in values]

    async def answer(ask: Ask, value: Any) -> Any:
        try:
            return await ask(value)
        except NoVerdict as error:
            return str(error)

    return asyncio.run(ask_all())


@pytest.fixture(autouse=True)
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answers_of_a_test.py").write_text(ANSWERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def test_answers() -> None:
    assert asked([1, "ü\n"]) == [[1, 1], ["ü\n", 2]]


def test_what_takes_too_long_or_ends_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.3)
    assert asked([1, "hang", 2, "end", 3]) == [
        [1, 1],
        None,
        [2, 1],
        "the process that compares ended: out of memory",
        [3, 1],
    ]


def test_a_module_that_cannot_be_run_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "answers_of_a_test.py").write_text("import json, nowhere_to_be_found")
    with pytest.raises(RunError, match=r"answers_of_a_test cannot be run: ModuleNotFoundError: .*nowhere_to_be_found"):
        asked([1])


def test_files_of_the_current_folder_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "json.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert asked([1]) == [[1, 1]]


def test_math_is_compared_as_mathematics() -> None:
    pytest.importorskip("math_verify")

    async def ask_all() -> list[Any]:
        async with apart("evolvent.evaluation.math_answers") as ask:
            return [await ask(["\\frac{1}{2}", reply]) for reply in ("It is \\boxed{0.5}.", "\\boxed{2}", "", "half")]

    assert asyncio.run(ask_all()) == [True, False, False, False]
