"""MBPP's verdicts: the model's code, then the tests that it was shown, in the sandbox."""

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

from evolvent.evaluation.task import Document, Task, Tools
from evolvent.evaluation.tasks.code import COLUMNS, MEASURES, code_in, definitions, passes
from evolvent.records import Score

if TYPE_CHECKING:
    from datasets import Dataset

TEST_PROBLEMS = range(11, 511)  # by task_id; the others are for demonstrations, training and validation


def test_problems(problems: "Dataset") -> "Dataset":
    """The 500 problems of the test set, whichever file they stand in."""
    return problems.filter(lambda task_id: task_id in TEST_PROBLEMS, input_columns="task_id")


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """Whether the code of a reply passes the tests."""
    code = code_in(reply, names_in(document["test_list"]))
    return await passes(code, program(document, code), tools)


def names_in(tests: Iterable[str]) -> set[str]:
    """The names that tests use: that of the function, above all."""
    return {node.id for node in ast.walk(ast.parse("\n".join(tests))) if isinstance(node, ast.Name)}


def program(document: Document, code: str) -> str:
    """The code, what the tests need, which may be made of what the code defines, and the tests."""
    imports, needed = document.get("test_imports") or (), document.get("test_setup_code") or ""  # sanitized, full
    return "\n".join([*imports, definitions(code), needed, *document["test_list"]])


MBPP = Task(
    "mbpp", "500 short Python problems with three tests each; zero-shot", MEASURES, judge, COLUMNS, runs_code=True
)
