"""What the stages write is data like any other: it is read by ``load``, or refused with words that say why."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolvent.datasets import load
from evolvent.errors import InputError
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.autoif.training_rows import dpo_rows, sft_rows
from evolvent.records import Record, schema
from evolvent.runs.convert import convert
from evolvent.runs.record_files import record_table
from evolvent.selection.select import select

TURNS = [("system", "Be brief."), ("user", "Name a river."), ("assistant", "The Nile.")]
MESSAGES: Any = [{"role": role, "content": content} for role, content in TURNS]

OTHER: Any = {"role": "assistant", "content": "The seed's own answer."}


def scored(instruction: str = "Name a river.", **values: Any) -> Record:
    return Record(
        "s/r1/t", "s", 0, instruction, output="The Nile.", round=1, method="evol-instruct", operator="deepening",
        evolver="embedded", teacher="hf:t", finish_reason="stop", scores={"ifd": 0.5, "ic_ifd": None},
        meta='{"prompt":"mine","topic":"water"}', **values
    )  # fmt: skip


CONVERSATIONS = (MESSAGES, [*MESSAGES[:2], OTHER])
RECORDS = [scored(), scored("Name", input="a river."), *(scored(messages=turns) for turns in CONVERSATIONS)]


@pytest.fixture
def record_file(tmp_path: Path) -> Path:
    kinds = pa.schema([*schema(), pa.field("ifd", pa.float64()), pa.field("ic_ifd", pa.float64())])
    pq.write_table(record_table(RECORDS, kinds), tmp_path / "scored.parquet")
    return tmp_path / "scored.parquet"


def test_a_record_file(record_file: Path, tmp_path: Path) -> None:
    data = load(record_file)
    assert data.format == "record"
    assert [(r.instruction, r.input, r.output, r.messages) for r in data] == [
        (r.instruction, r.input, r.output, r.messages) for r in RECORDS
    ]
    for to in ("messages", "alpaca", "sharegpt", "prompt_completion"):
        convert(record_file, tmp_path / "out.jsonl", to=to)
        again = list(load(tmp_path / "out.jsonl"))
        assert [(r.question, r.output) for r in again] == [(r.question, r.output) for r in RECORDS]
    failed = Record("f", "f", 1, "Sing.", status="failed", reason="no reply", round=1)
    pq.write_table(record_table([*RECORDS, failed], pq.read_schema(record_file)), record_file)
    with pytest.raises(InputError, match=r"1 of 5 rows .*\n.*row 5: the row is failed: no reply"):
        load(record_file)
    assert load(record_file, skip_bad=True).rows == 4


@pytest.mark.parametrize("to", ["messages", "alpaca", "sharegpt", "prompt_completion"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "jsonl.gz", "csv", "parquet"])
def test_a_selection(to: str, kind: str, record_file: Path, tmp_path: Path) -> None:
    out = tmp_path / f"selected.{kind}"
    note = select(record_file, by="ifd", top="100%", to=to, out=out).note
    data = load(out)
    assert (data.format, data.rows) == (to, 4)
    assert [(record.question, record.output) for record in data] == [(r.question, r.output) for r in RECORDS]
    for record in data:
        meta = json.loads(record.meta or "")
        ours = json.loads(meta["meta"]) if kind in ("csv", "parquet") else meta["meta"]
        assert (ours["teacher"], ours["scores"]) == ("hf:t", {"ifd": 0.5, "ic_ifd": None})
        assert (meta["topic"], meta.get("prompt", ours.get("_columns", {}).get("prompt"))) == ("water", "mine")
    convert(out, tmp_path / "again.jsonl", to="messages")
    with pytest.raises(InputError, match=rf"says how {out.name} was chosen.*\nName {out.name}\.$"):
        load(note)


def test_training_rows_of_autoif(tmp_path: Path) -> None:
    autoif = {"instruction": "Use no commas.", "query": "Name a river.", "accuracy": 1.0}
    answers = [
        Record(f"s/r1/q1/t/{n}", "s", 0, "Name a river. Use no commas.", output=output, teacher="hf:t", round=1,
               meta=json.dumps({"autoif": {**autoif, "accuracy": share}}))
        for n, (output, share) in enumerate([("The Nile.", 1.0), ("The Nile, of course.", 0.0)])
    ]  # fmt: skip
    for name, rows in (("sft", list(sft_rows(answers[:1]))), ("dpo", list(dpo_rows(answers, Rules(), 0)))):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        [record] = load(path)
        assert load(path).format == {"sft": "messages", "dpo": "preference"}[name]
        assert (record.instruction, record.output) == ("Name a river. Use no commas.", "The Nile.")
        assert json.loads(record.meta or "")["meta"]["autoif"]["query"] == "Name a river."
        for kind in ("jsonl", "csv", "parquet"):
            convert(path, tmp_path / f"out.{kind}", to="alpaca")
            [again] = load(tmp_path / f"out.{kind}")
            assert (again.instruction, again.output) == (record.instruction, record.output)


def test_preference_rows_as_csv(tmp_path: Path) -> None:
    turns = [json.dumps(MESSAGES[:2]), json.dumps(MESSAGES[2:]), json.dumps([{"role": "assistant", "content": "No."}])]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "chosen", "rejected"], turns])
    [record] = load(tmp_path / "a.csv")
    assert (record.instruction, record.output, record.messages) == ("Name a river.", "The Nile.", MESSAGES)


def test_the_verified_instructions_of_autoif(tmp_path: Path) -> None:
    row = {"id": "s", "instruction": "Use no commas.", "functions": [{"code": "def evaluate(r): ...", "share": 1.0}]}
    (tmp_path / "functions.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=r"functions\.jsonl holds AutoIF's verified instructions with their functions"):
        load(tmp_path / "functions.jsonl")
    with pytest.raises(InputError, match="AutoIF's verified instructions"):
        convert(tmp_path / "functions.jsonl", tmp_path / "out.jsonl", to="messages")
    assert load(tmp_path / "functions.jsonl", format="alpaca").rows == 1


def test_one_object_over_several_lines_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"instruction": "Sing.", "output": "La."}, indent=2))
    data = load(tmp_path / "a.json")
    assert [(record.instruction, record.output) for record in data] == [("Sing.", "La.")]
    assert list(data.records(1)) == []
