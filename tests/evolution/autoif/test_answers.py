"""Answers to one instruction with one query: drawn, verified by its functions, scored, each with its fate."""

import asyncio
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evolvent.call_store.key import call_seed
from evolvent.errors import CallError, InputError
from evolvent.evolution.autoif.answers import Accuracy, Tools, accuracies, answered, with_functions
from evolvent.evolution.autoif.rules import ANY, PROFILES, Rules
from evolvent.evolution.autoif.settings import noted, noting
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Record, schema
from evolvent.runs.record_files import record_table
from evolvent.sandbox.sandbox import Sandbox, require_sandbox
from tests.evolution.autoif.published import published
from tests.evolution.autoif.settings import settings
from tests.scripted import Scripted

SHORT = "def evaluate(response):\n    return len(response.split()) <= 3"
NO_E = "def evaluate(response):\n    return 'e' not in response"
RAISES = "def evaluate(response):\n    return response.no_such_thing"
TEXT = "def evaluate(response):\n    return 'True'"
ASKED = {"instruction": "Use no e in at most three words.", "query": "What is it that falls from the sky?"}
RECORD = Record(
    "i/r1/1",
    "i",
    0,
    "What is it that falls from the sky? Use no e in at most three words.",
    parent_id="i",
    round=1,
    method="autoif",
    meta=json.dumps({"autoif": ASKED, "source": "mine"}),
)
SAMPLING = Sampling(0.7, 0.95, 100)
TEACHER = sha256(b"teacher").hexdigest()[:8]


def answers_to(
    teacher: Callable[[str, Sampling], str | Reply] | list[str],
    judge: Callable[[str, Sampling], str | Reply] = lambda *_: "Score: 9",
    *,
    functions: list[str] = [SHORT, NO_E],  # noqa: B006
    rules: Rules | None = None,
    profile: str = "autoif-paper",
    models: dict[str, Scripted] | None = None,
) -> list[Record]:
    """The rows that come of a teacher's and a judge's replies; a list answers call by call."""
    told = list(teacher) if isinstance(teacher, list) else []
    said = (lambda *_: told.pop(0)) if isinstance(teacher, list) else teacher
    rules = rules or replace(PROFILES[profile], responses=len(told) or 2)
    opened = {} if models is None else models
    opened |= {"teacher": Scripted(said, uri="teacher"), "judge": Scripted(judge, uri="judge")}

    async def run() -> list[Record]:
        async with Sandbox(unsafe=True) as sandbox:  # the functions are this file's own
            how = settings(profile, rules=rules, sampling=SAMPLING, seed=5)
            record = replace(RECORD, meta=noting(RECORD, **ASKED, functions=functions))
            return await answered(
                record, how, Tools(opened["teacher"], opened["judge"] if rules.quality else None, sandbox)
            )

    return asyncio.run(run())


def fates(rows: list[Record]) -> list[tuple[str, str | None, Any]]:
    return [(row.status, row.reason, noted(row)["accuracy"]) for row in rows]


def test_each_answer_is_judged_by_the_share_of_the_functions_that_it_passes() -> None:
    rows = answers_to(["Rain.", "Drops of it falling down.", "It is the water.", "Rain!"], rules=Rules(responses=4))
    assert fates(rows) == [
        ("ok", None, 1.0),
        ("eliminated", "fails its functions", 0.5),
        ("eliminated", "fails its functions", 0.0),
        ("ok", None, 1.0),
    ]
    assert [noted(row)["verdicts"] for row in rows] == [2, 2, 2, 2]
    assert [noted(row)["quality"] for row in rows] == [9.0, None, None, 9.0]


def test_a_row_is_its_record_with_the_answer_and_what_was_found() -> None:
    (row,) = answers_to(["Rain."], rules=Rules(responses=1))
    assert row == replace(
        RECORD,
        id=f"i/r1/1/{TEACHER}/0",
        teacher="teacher",
        output="Rain.",
        finish_reason="stop",
        meta=row.meta,
    )
    assert json.loads(row.meta or "") == {
        "autoif": {**ASKED, "accuracy": 1.0, "verdicts": 2, "quality": 9.0},
        "source": "mine",
    }
    assert RECORD.meta == json.dumps({"autoif": ASKED, "source": "mine"})


@pytest.mark.parametrize(("profile", "status"), [("autoif-paper", "eliminated"), ("autoif-code", "ok")])
def test_half_of_the_functions_are_enough_for_the_code_and_not_for_the_paper(profile: str, status: str) -> None:
    (row,) = answers_to(["Drops of it falling down."], rules=replace(PROFILES[profile], responses=1))
    assert (row.status, noted(row)["accuracy"]) == (status, 0.5)


def test_functions_without_a_verdict_do_not_count() -> None:
    rows = answers_to(["Rain.", "Water."], functions=[RAISES, NO_E, TEXT])
    assert fates(rows) == [("ok", None, 1.0), ("eliminated", "fails its functions", 0.0)]
    assert [noted(row)["verdicts"] for row in rows] == [1, 1]


def test_an_answer_on_which_no_function_has_a_verdict_is_counted_so() -> None:
    models: dict[str, Scripted] = {}
    rows = answers_to(["Rain.", "Hail."], functions=[RAISES, TEXT], models=models)
    assert fates(rows) == [("eliminated", "no verdict: AttributeError", None)] * 2
    assert models["judge"].asked == []


def test_an_answer_that_was_given_before_is_a_duplicate_and_is_not_scored_again() -> None:
    models: dict[str, Scripted] = {}
    rows = answers_to(["Rain.", "Water.", "Rain.", "Water."], models=models)
    assert fates(rows) == [
        ("ok", None, 1.0),
        ("eliminated", "fails its functions", 0.5),
        ("eliminated", "duplicate", 1.0),
        ("eliminated", "fails its functions", 0.5),
    ]
    assert len(models["judge"].asked) == 1


def test_the_judge_decides_last() -> None:
    def judge(prompt: str, _: Sampling) -> str:
        answer = prompt.split("[Answer] ")[1].split("\n")[0]
        return {"Rain.": "Score: 8", "Hail.": "Score: 9", "Fog.": "**Score: 9**", "Mud.": "no idea"}[answer]

    said = ["Rain.", "Hail.", "Fog.", "Mud."]
    paper, code = (answers_to(said, judge, profile=name) for name in ("autoif-paper", "autoif-code"))
    low, none = ("eliminated", "low quality", 1.0), ("eliminated", "no score", 1.0)
    ok = ("ok", None, 1.0)
    assert fates(paper) == [ok, ok, ok, none]
    assert fates(code) == [low, ok, none, none]
    assert [noted(row)["quality"] for row in paper] == [8.0, 9.0, 9.0, None]


def test_a_judge_that_was_cut_before_its_score() -> None:
    cut = Reply("First of all, it is", "length")
    assert fates(answers_to(["Rain."], lambda *_: cut)) == [("eliminated", "no score: cut at the token limit", 1.0)]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("Half an", "content_filter"), "filtered"),
        (Reply("", "stop", refusal="I cannot."), "refused"),
        (Reply(" \n", "stop"), "empty"),
    ],
)
def test_what_is_no_answer_is_not_verified(reply: Reply, reason: str) -> None:
    rows = answers_to(lambda *_: reply)
    assert fates(rows) == [("eliminated", reason, None)] * 2
    assert rows[0].output == reply.text


def test_short_apologies_and_answers_without_words_are_for_the_functions_to_judge() -> None:
    rows = answers_to(["Sorry!", "🌧"], functions=[SHORT])
    assert fates(rows) == [("ok", None, 1.0)] * 2


def test_an_answer_that_was_cut_is_verified_and_says_so() -> None:
    rows = answers_to(lambda *_: Reply("Rain", "length"), rules=Rules(responses=1))
    assert (rows[0].status, rows[0].finish_reason) == ("ok", "length")


def test_a_failed_call_fails_its_answer_only() -> None:
    def teacher(_: str, sampling: Sampling) -> str:
        if sampling.seed == call_seed(5, "i/r1/1", "answer-1"):
            raise CallError("server said no")
        return f"Rain {sampling.seed}"

    rows = answers_to(teacher, rules=Rules(responses=3))
    assert [(row.status, row.reason) for row in rows] == [("ok", None), ("failed", "server said no"), ("ok", None)]


def test_a_judge_that_fails_fails_the_row_and_says_who_it_was() -> None:
    def judge(*_: object) -> str:
        raise CallError("server said no")

    (row,) = answers_to(["Rain."], judge, rules=Rules(responses=1))
    assert (row.status, row.reason) == ("failed", "the judge: server said no")
    assert noted(row)["accuracy"] == 1.0


def test_what_teacher_and_judge_are_asked() -> None:
    models: dict[str, Scripted] = {}
    answers_to(["Rain.", "Hail."], models=models)
    assert models["teacher"].asked == [
        (
            "Answer the query. Follow the instruction strictly.\n"
            "[Instruction] Use no e in at most three words.\n[Query] What is it that falls from the sky?",
            replace(SAMPLING, seed=call_seed(5, "i/r1/1", f"answer-{number}")),
        )
        for number in range(2)
    ]
    prompt, sampling = models["judge"].asked[0]
    assert "[Answer] Rain.\n" in prompt and ASKED["instruction"] in prompt and ASKED["query"] in prompt
    assert (sampling.temperature, sampling.max_tokens) == (0.0, 100)


def test_paper_1_draws_one_answer_greedily_and_keeps_it_whatever_the_functions_say() -> None:
    models: dict[str, Scripted] = {}
    (row,) = answers_to(["Plenty of water, Sir."], profile="paper1", rules=PROFILES["paper1"], models=models)
    assert (row.status, noted(row)["accuracy"], noted(row)["quality"]) == ("ok", 0.0, None)
    assert [sampling.temperature for _, sampling in models["teacher"].asked] == [0.0]
    assert models["judge"].asked == []


def test_an_instruction_without_functions_cannot_be_verified() -> None:
    with pytest.raises(InputError, match="no functions for the instruction i"):
        answers_to(["Rain."], functions=[])


def test_the_functions_are_those_of_the_instructions_own_row_wherever_reading_begins(tmp_path: Path) -> None:
    rows = []
    for name in ("a", "b", "c", "d"):
        first = Record(name, name, 0, name)
        status = "eliminated" if name == "c" else "ok"
        first.status, first.meta = status, noting(first, functions=[{"code": f"check {name}", "share": 1.0}])
        rows.append(first)
        for number in range(0 if name == "c" else 3):
            asked = Record(f"{name}/r1/{number}", name, 0, name, round=1, meta='{"mine": 1}')
            asked.meta = noting(asked, instruction=name, query=f"query {number}")
            rows.append(asked)
    pq.write_table(record_table(rows, schema()), tmp_path / "evolved.parquet")
    source = pickle.loads(pickle.dumps(with_functions(tmp_path, queries=3)))
    whole = list(source.records())
    assert source.rows == len(whole)
    assert [record.id for _, record in whole] == [row.id for row in rows if row.round]
    assert [noted(record)["functions"] for _, record in whole] == [[f"check {record.seed_id}"] for _, record in whole]
    assert json.loads(whole[0][1].meta or "")["mine"] == 1
    for start in range(len(rows) + 1):
        assert list(source.records(start)) == [(place, record) for place, record in whole if place >= start]


def test_of_the_320_published_answers_none_passes() -> None:
    rows = published("query_rft.jsonl")
    found = asyncio.run(_published_accuracies(rows))
    assert sum(map(len, found)) == 320
    assert not any(ANY.passes(accuracy.share or 0) for row in found for accuracy in row)
    # Every function has a verdict: the answers fail, they are not passed over.
    assert all(
        accuracy == (0.0, len(row["eval_func"]), None)
        for row, some in zip(rows, found, strict=True)
        for accuracy in some
    )


def test_published_dpo_answers_on_which_the_function_raises_have_no_verdict() -> None:
    found = asyncio.run(_published_accuracies(published("dpo_query_w_funcs.jsonl")))
    assert [accuracy[:2] for row in found for accuracy in row] == [(None, 0)] * 168
    assert all(accuracy.why_none for row in found for accuracy in row)


async def _published_accuracies(rows: list[dict[str, Any]]) -> list[list[Accuracy]]:
    """The accuracies of each row's answers, in the sandbox with its wall."""
    try:
        require_sandbox(unsafe=False)
    except InputError as error:
        pytest.skip(error.message)
    async with Sandbox() as sandbox:
        return [await accuracies(sandbox, [code for code, _ in row["eval_func"]], row["gpt-answer"]) for row in rows]
