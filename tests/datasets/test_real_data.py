"""The public data sets that people use: every row is read, and comes back from every format and kind of file."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from evolvent.datasets import load, write
from evolvent.datasets.render import conversation
from evolvent.errors import InputError
from evolvent.records import Message, Record
from evolvent.runs.convert import convert

QUESTION = {"instruction": "question", "output": "answer"}
INSTANCE = {"instruction": "instruction", "input": "instances.0.input", "output": "instances.0.output"}


class Case(NamedTuple):
    file: str
    format: str
    rows: int
    multi_turn: int = 0
    duplicates: int = 0
    map: dict[str, str] | None = None


CASES = [
    Case("alpaca_subset/alpaca_random_9k.json", "alpaca", 9229),
    Case("code_alpaca/code_alpaca_2k.json", "alpaca", 2017),
    Case("gsm8k/train.jsonl", "alpaca", 7473, map=QUESTION),
    Case("gsm8k/test.jsonl", "alpaca", 1319, map=QUESTION),
    Case("dolly_subset/dolly_3k.json", "alpaca", 2996, duplicates=2),
    Case("self_instruct/seed_tasks.jsonl", "alpaca", 175, map=INSTANCE),
    Case("llamafactory_demo/alpaca_en_demo.json", "alpaca", 999, duplicates=14),
    Case("llamafactory_demo/alpaca_zh_demo.json", "alpaca", 1000, duplicates=8),
    Case("llamafactory_demo/dpo_en_demo.json", "preference", 300, 106, 5),
    Case("llamafactory_demo/kto_en_demo.json", "messages", 300, 77),
    Case("llamafactory_demo/glaive_toolcall_en_demo.json", "sharegpt", 300, 261, 38),
    Case("llamafactory_demo/v1_sft_demo.jsonl", "messages", 500, 0, 1),
    Case("mt_bench/question.jsonl", "turns", 80, 80),
    Case("mt_bench/sharegpt_format_dummy_conversation.json", "sharegpt", 500, 333),
    *(
        Case(f"alpaca_eval/outputs_{model}.json", "alpaca", 805)
        for model in ("Mistral-7B-Instruct-v0.2", "alpaca-7b", "gemma-2b-it", "gpt4_1106_preview", "text_davinci_003")
    ),
]


def said(record: Record) -> tuple[str, str, list[Message]]:
    """Question, answer and turns; alpaca has no empty system turn and no empty answer."""
    turns = [turn for turn in conversation(record) if turn["content"] or turn["role"] not in ("system", "assistant")]
    return record.question, record.output, turns


@pytest.fixture
def folder() -> Path:
    name = os.environ.get("EVOLVENT_DATA")
    if not name:
        pytest.skip("EVOLVENT_DATA is not set: the folder with the public data sets")
    return Path(name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_every_row_is_read_and_comes_back(case: Case, folder: Path, tmp_path: Path) -> None:
    data = load(folder / case.file, map=case.map)
    records = list(data)
    assert (data.format, data.rows, data.skipped) == (case.format, case.rows, 0)
    assert len(records) == case.rows
    assert data.duplicates == case.duplicates
    assert len({record.id for record in records}) == case.rows
    for number, (format, kind) in enumerate(
        [("messages", "jsonl"), ("sharegpt", "csv"), ("prompt_completion", "parquet"), ("messages", "parquet")]
    ):
        out = tmp_path / f"{number}.{kind}"
        assert write(data, out, format=format).written == case.rows
        assert list(map(said, load(out))) == list(map(said, records))
    out = tmp_path / "alpaca.json"
    if case.multi_turn == case.rows:
        with pytest.raises(InputError, match=f"{case.rows} of {case.rows} records have more than one turn"):
            convert(folder / case.file, out, to="alpaca", map=case.map, skip_bad=True)
        return
    counts = convert(folder / case.file, out, to="alpaca", map=case.map, skip_bad=True)
    assert (counts.written, counts.multi_turn) == (case.rows - case.multi_turn, case.multi_turn)
    if not case.multi_turn:
        assert list(map(said, load(out))) == list(map(said, records))
    else:
        with pytest.raises(InputError, match=f"{case.multi_turn} of {case.rows} records have more than one turn"):
            convert(folder / case.file, out, to="alpaca", map=case.map)


def test_answers_without_questions_are_no_instruction_data(folder: Path) -> None:
    with pytest.raises(InputError, match="Columns found: question_id, answer_id, model_id, choices, tstamp"):
        load(folder / "mt_bench/reference_answer_gpt-4.jsonl")
