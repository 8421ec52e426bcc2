"""What a run has made, as a training set: what is ok and answered, and the rest counted."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evolvent.errors import InputError
from evolvent.records import Record, schema
from evolvent.runs.convert import convert
from evolvent.runs.record_files import record_table

EVOLUTION: dict[str, Any] = {"round": 1, "method": "evol-instruct", "evolver": "e", "meta": '{"topic":"water"}'}
ANSWER: dict[str, Any] = {**EVOLUTION, "teacher": "t", "finish_reason": "stop"}
EVOLVED = [
    Record("s", "s", 0, "Name a river.", output="The seed's own.", meta='{"topic":"water"}'),
    Record("s/r1", "s", 0, "Name a long river.", "in Africa", **EVOLUTION),
    Record("s/r2", "s", 0, "Name?", status="eliminated", reason="too short", **{**EVOLUTION, "round": 2}),
]
ANSWERED = [
    Record("s/r1/t", "s", 0, "Name a long river.", "in Africa", "The Nile.", **ANSWER),
    Record("s/r1/u", "s", 0, "Name a long river.", "in Africa", " ", **ANSWER),
    Record("s/r1/v", "s", 0, "Name a long river.", "in Africa", status="failed", reason="no reply", **ANSWER),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name, records in (("evolved", EVOLVED), ("responses", ANSWERED)):
        pq.write_table(record_table(records, schema()), tmp_path / f"{name}.parquet")
    (tmp_path / "manifest.json").write_text(json.dumps({"stages": {}}))
    return tmp_path


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_folder_is_its_last_file_of_records(run: Path) -> None:
    counts = convert(run, run / "out.jsonl", to="alpaca")
    pair = {"instruction": "Name a long river.", "input": "in Africa", "output": "The Nile."}
    assert written(run / "out.jsonl") == [{**pair, "topic": "water"}]
    assert counts.left_out == {"without an answer": 1, "failed": 1}
    assert str(counts) == (
        "1 row of responses.parquet written as alpaca; 2 rows left out (1 without an answer, 1 failed); "
        "--all writes them, too"
    )


def test_a_file_without_answers_gives_the_instructions_that_would_be_answered(run: Path) -> None:
    counts = convert(run / "evolved.parquet", run / "out.jsonl", to="messages")
    turn = {"role": "user", "content": "Name a long river.\nin Africa"}
    assert written(run / "out.jsonl") == [{"messages": [turn], "topic": "water"}]
    assert counts.left_out == {"seeds": 1, "eliminated": 1}


def test_all_of_it_with_its_history(run: Path) -> None:
    convert(run / "evolved.parquet", run / "out.jsonl", to="alpaca", all=True, with_history=True)
    rows = written(run / "out.jsonl")
    assert [row["instruction"] for row in rows] == [record.instruction for record in EVOLVED]
    assert [row.get("meta", {}).get("status") for row in rows] == [None, "ok", "eliminated"]
    convert(run / "evolved.parquet", run / "out.jsonl", to="alpaca", limit=1)
    assert len(written(run / "out.jsonl")) == 1


def test_where_nothing_is_usable_nothing_is_written(run: Path) -> None:
    pq.write_table(record_table(ANSWERED[1:], schema()), run / "responses.parquet")
    with pytest.raises(InputError, match=r"responses\.parquet holds no row that is ok and answered"):
        convert(run, run / "out.jsonl", to="messages")
    assert not (run / "out.jsonl").exists()
    (run / "responses.parquet").unlink()
    (run / "evolved.parquet").unlink()
    with pytest.raises(InputError, match="holds no rows yet"):
        convert(run, run / "out.jsonl", to="messages")


def test_an_empty_cell_of_csv_is_empty(run: Path) -> None:
    convert(run / "evolved.parquet", run / "out.csv", to="alpaca", all=True, with_history=True)
    assert '""""' not in (run / "out.csv").read_text()
    with (run / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["input"], row["output"]) for row in rows] == [("", "The seed's own."), ("in Africa", ""), ("", "")]
    assert ",,The seed's own." in (run / "out.csv").read_text()


def test_llama_factory_is_told_of_the_file(run: Path) -> None:
    (run / "dataset_info.json").write_text('{"other": {"file_name": "other.json"}}')
    convert(run, run / "pairs.json", to="messages", dataset_info=True)
    convert(run, run / "alpaca.jsonl", to="alpaca", dataset_info=True)
    info = json.loads((run / "dataset_info.json").read_text())
    assert list(info) == ["other", "pairs", "alpaca"]
    assert info["pairs"]["columns"] == {"messages": "messages"}
    assert info["pairs"]["tags"]["user_tag"] == "user"
    assert info["alpaca"] == {
        "file_name": "alpaca.jsonl",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    }
    convert(
        [{"instruction": "q", "output": "a", "system": "Be brief."}], run / "s.json", to="alpaca", dataset_info=True
    )
    assert json.loads((run / "dataset_info.json").read_text())["s"]["columns"]["system"] == "system"
    with pytest.raises(InputError, match="LLaMA-Factory takes no prompt_completion"):
        convert(run, run / "p.jsonl", to="prompt_completion", dataset_info=True)
    with pytest.raises(InputError, match=r"takes no messages in p\.csv"):
        convert(run, run / "p.csv", to="messages", dataset_info=True)
    (run / "dataset_info.json").write_text("[")
    with pytest.raises(InputError, match=r"dataset_info\.json cannot be read"):
        convert(run, run / "q.jsonl", to="alpaca", dataset_info=True)
    assert not (run / "q.jsonl").exists()
