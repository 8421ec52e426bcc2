"""The verdicts on public data: IFEval's published ones, reference solutions, published completions."""

import asyncio
import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolvent.evaluation.harness import items
from evolvent.evaluation.math_answers import equal
from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks import TASKS
from evolvent.evaluation.tasks.ifeval import find_splitter
from evolvent.evaluation.tasks.mbpp import TEST_PROBLEMS
from evolvent.judges.win_rate import length_controlled
from evolvent.records import Score
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import Sandbox
from tests.sandbox.wall import needs_wall

DATA = Path(os.environ.get("EVOLVENT_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="EVOLVENT_DATA names no folder of data")

LIMITS = Limits(seconds=60)  # the machine may be busy


def lines(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / file).read_text(encoding="utf-8").splitlines()]


def verdicts(task: str, asked: Sequence[tuple[dict[str, Any], str]]) -> list[dict[str, Score]]:
    async def all_of_them() -> list[dict[str, Score]]:
        return await asyncio.gather(*(TASKS[task].judge(document, reply, Tools()) for document, reply in asked))

    return asyncio.run(all_of_them())


def run(task: str, asked: Sequence[tuple[dict[str, Any], str]]) -> list[dict[str, Score]]:
    async def inside() -> list[dict[str, Score]]:
        async with Sandbox(LIMITS) as sandbox:
            tools = Tools(sandbox)
            return await asyncio.gather(*(TASKS[task].judge(document, reply, tools) for document, reply in asked))

    return asyncio.run(inside())


def test_ifeval_of_published_responses() -> None:
    pytest.importorskip("lm_eval")
    find_splitter(DATA)
    documents = {row["prompt"]: row for row in lines("ifeval/input_data_540.jsonl")}
    responses = lines("ifeval/input_response_data_gpt4_20231107_145030.jsonl")
    found = verdicts("ifeval", [(documents[row["prompt"]], row["response"]) for row in responses])
    for how, drawn in (("strict", set()), ("loose", {1122})):  # "4 times the letter #": the harness draws a letter
        published = {
            row["prompt"]: row["follow_instruction_list"] for row in lines(f"ifeval/gpt4_eval_results_{how}.jsonl")
        }
        asked = [row["prompt"] for row in responses]
        other = {
            documents[prompt]["key"]
            for prompt, ours in zip(asked, found, strict=True)
            if (ours[f"instructions_{how}"], ours[f"prompt_{how}"]) != (sum(published[prompt]), all(published[prompt]))
        }
        assert (len(published), other) == (540, drawn)


@needs_wall
def test_humaneval_of_reference_solutions_and_published_completions() -> None:
    with gzip.open(DATA / "humaneval/HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        problems = {row["task_id"]: row for row in map(json.loads, file)}
    found = run("humaneval", [(row, row["canonical_solution"]) for row in problems.values()])
    assert found == [{"passed": 1.0, "why_not": None}] * 164
    published = lines("humaneval/evol_teacher_HumanEval_results.jsonl")
    found = run("humaneval", [(problems[row["task_id"]], row["completion"]) for row in published])
    assert [bool(one["passed"]) for one in found] == [row["passed"] for row in published]
    assert sum(row["passed"] for row in published) == 51


@needs_wall
def test_mbpp_of_reference_solutions() -> None:
    sanitized = json.loads((DATA / "mbpp/sanitized-mbpp.json").read_text(encoding="utf-8"))
    full = [row for row in lines("mbpp/mbpp.jsonl") if row["task_id"] in TEST_PROBLEMS]
    assert (len(sanitized), len(full)) == (427, 500)
    found = run("mbpp", [(row, row["code"]) for row in [*sanitized, *full]])
    assert found == [{"passed": 1.0, "why_not": None}] * 927


@pytest.mark.parametrize(
    ("task", "count", "first"),
    [
        ("ifeval", 541, "ifeval/1000"),
        ("gsm8k", 1319, "gsm8k/0"),
        ("math", 500, "math/test/precalculus/807.json"),
        ("humaneval", 164, "humaneval/HumanEval/0"),
        ("mbpp", 500, "mbpp/11"),
        ("mt_bench", 80, "mt_bench/81"),
        ("alpaca_eval", 805, "alpaca_eval/0"),
    ],
)
def test_the_items_of_the_files(task: str, count: int, first: str) -> None:
    pytest.importorskip("lm_eval")
    found = list(items(task, DATA, None))
    assert (len(found), found[0].id) == (count, first)
    assert len({item.id for item in found}) == count


def test_gsm8k_of_its_own_answers() -> None:
    pytest.importorskip("lm_eval")
    rows = lines("gsm8k/test.jsonl")[:200]
    found = verdicts("gsm8k", [(row, f"The final answer is {row['answer'].split('####')[1].strip()}.") for row in rows])
    assert found == [{"strict_match": 1.0, "flexible_extract": 1.0}] * 200


def test_math_of_its_own_solutions() -> None:
    pytest.importorskip("math_verify")
    rows = lines("math/math500_test.jsonl")[::5]
    assert sum(equal(row["answer"], row["solution"]) for row in rows) == 100


def test_a_judge_who_takes_the_longer_answer_finds_half_at_equal_length() -> None:
    sizes = [
        np.array([len(row["output"]) for row in json.loads((DATA / f"alpaca_eval/outputs_{name}.json").read_text())])
        for name in ("Mistral-7B-Instruct-v0.2", "gpt4_1106_preview")
    ]
    longer = sizes[0] - sizes[1]
    wins = np.where(longer > 0, 1.0, np.where(longer < 0, 0.0, 0.5))
    ours, theirs = length_controlled(wins, longer), length_controlled(1 - wins, -longer)
    assert ours is not None and theirs is not None and ours + theirs == pytest.approx(1, abs=1e-3)
    assert wins.mean() < 0.35 and ours == pytest.approx(0.5, abs=0.03)
