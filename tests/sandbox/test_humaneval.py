"""HumanEval's own solutions, and a published run's verdicts: OpenAI's order of prompt, completion, test and call."""

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Outcome
from tests.sandbox.wall import needs_wall

pytestmark = needs_wall

LIMITS = Limits(seconds=20)  # HumanEval's own is 3; none of these takes long, but the machine may be busy


@pytest.fixture(scope="module")
def folder() -> Path:
    data = os.environ.get("EVOLVENT_DATA")
    if not data:
        pytest.skip("EVOLVENT_DATA names no folder with data")
    return Path(data) / "humaneval"


@pytest.fixture(scope="module")
def problems(folder: Path) -> dict[str, dict[str, Any]]:
    with gzip.open(folder / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {row["task_id"]: row for row in rows}


def outcomes(programs: list[str]) -> list[Outcome]:
    async def inside() -> list[Outcome]:
        async with Sandbox(LIMITS) as sandbox:
            return await asyncio.gather(*(sandbox.run(program) for program in programs))

    return asyncio.run(inside())


def program(problem: dict[str, Any], completion: str) -> str:
    return f"{problem['prompt']}{completion}\n{problem['test']}\ncheck({problem['entry_point']})"


def test_reference_solutions_pass(problems: dict[str, dict[str, Any]]) -> None:
    found = outcomes([program(problem, problem["canonical_solution"]) for problem in problems.values()])
    assert found == [Outcome(True, None)] * 164


def test_published_verdicts_are_ours(folder: Path, problems: dict[str, dict[str, Any]]) -> None:
    lines = (folder / "evol_teacher_HumanEval_results.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = outcomes([program(problems[row["task_id"]], row["completion"]) for row in rows])
    assert [outcome.passed for outcome in found] == [row["passed"] for row in rows]
    assert sum(outcome.passed for outcome in found) == 51
