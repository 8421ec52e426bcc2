"""What is written reads back as the same records, for every format and every kind of file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolvent.datasets import load, write
from evolvent.records import Record

FORMATS = ("messages", "alpaca", "sharegpt", "prompt_completion")
KINDS = ("jsonl", "csv", "parquet")

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
# Line ends, quotes and what looks like JSON are where CSV goes wrong.
tricky = text | st.sampled_from(['"', "\r", "\r\n", "a,b\n", "5", "true", "null", "[]", '{"a":1}', "", " ", "é"])
filled = tricky.filter(str.strip)
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | tricky
)
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=4
)
# Names that the formats need themselves, and our own, are where columns get lost.
name = text | st.sampled_from(
    [
        "meta",
        "id",
        "prompt",
        "completion",
        "chosen",
        "system",
        "messages",
        "conversations",
        "instruction",
        "_json",
        "turns",
    ]
)
extras = st.dictionaries(name, value, max_size=4)


@st.composite
def alpaca_rows(draw: st.DrawFn) -> dict[str, Any]:
    row = draw(extras)
    row |= {"instruction": draw(filled), "input": draw(tricky), "output": draw(tricky)}
    row.pop("history", None)
    row["system"] = draw(st.none() | tricky)
    return row


@st.composite
def conversation_rows(draw: st.DrawFn) -> dict[str, Any]:
    turns = draw(st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), filled), max_size=4))
    turns.insert(0, ("user", draw(filled)))
    if draw(st.booleans()):
        turns.insert(0, ("system", draw(tricky)))
    messages: list[dict[str, Any]] = [{"role": role, "content": content} for role, content in turns]
    if draw(st.booleans()):
        messages[0]["loss_weight"] = draw(st.floats(0, 1))
    return {**draw(extras), "messages": messages}


@st.composite
def single_turn_rows(draw: st.DrawFn) -> dict[str, Any]:
    messages = [{"role": "user", "content": draw(filled)}]
    if draw(st.booleans()):
        messages.insert(0, {"role": "system", "content": draw(tricky)})
    if draw(st.booleans()):
        messages.append({"role": "assistant", "content": draw(tricky)})
    return {**draw(extras), "messages": messages}


def check(rows: list[dict[str, Any]], read_as: str, format: str, folder: Path) -> None:
    data = load(rows, format=read_as)
    records = list(data)
    assert len(records) == len(rows)
    for kind in KINDS:
        path = folder / f"out.{kind}"
        assert write(data, path, format=format).written == len(rows)
        assert list(load(path)) == records, (format, kind)


several = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("format", FORMATS)
@several
@given(rows=st.lists(alpaca_rows(), min_size=1, max_size=4))
def test_instructions(format: str, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    check(rows, "alpaca", format, tmp_path)


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "alpaca"])
@several
@given(rows=st.lists(conversation_rows(), min_size=1, max_size=4))
def test_conversations(format: str, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    check(rows, "messages", format, tmp_path)


@several
@given(rows=st.lists(single_turn_rows(), min_size=1, max_size=4))
def test_single_turn_conversations_through_alpaca(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    check(rows, "messages", "alpaca", tmp_path)


@pytest.mark.parametrize("answered", [True, False])
def test_an_empty_system_turn_through_alpaca(answered: bool, tmp_path: Path) -> None:
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    check([{"messages": turns[: 3 if answered else 2]}], "messages", "alpaca", tmp_path)


@pytest.mark.parametrize("kind", ["json", "json.gz", "jsonl.gz", "csv.gz"])
def test_the_other_kinds_of_file(kind: str, tmp_path: Path) -> None:
    rows = [{"instruction": f"Count to {n}.", "output": "\n".join("123"), "n": n} for n in range(5)]
    write(load(rows), tmp_path / f"out.{kind}")
    assert list(load(tmp_path / f"out.{kind}")) == list(load(rows))
    assert ((tmp_path / f"out.{kind}").read_bytes()[:2] == b"\x1f\x8b") == kind.endswith(".gz")


def test_tool_calls_come_back_in_their_own_format_and_survive_another(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    row = {
        "messages": [
            {"role": "user", "content": "Add 2 and 3."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
            {"role": "assistant", "content": "5"},
        ],
        "source": "hand",
    }
    data = load([row])
    write(data, tmp_path / "same.jsonl")
    assert json.loads((tmp_path / "same.jsonl").read_text()) == row
    write(data, tmp_path / "other.parquet", format="sharegpt")
    write(load(tmp_path / "other.parquet"), tmp_path / "back.jsonl")
    assert json.loads((tmp_path / "back.jsonl").read_text()) == row


def test_an_alpaca_history_comes_back(tmp_path: Path) -> None:
    row = {
        "instruction": "And of Spain?",
        "input": "",
        "output": "Madrid.",
        "history": [["Capital of France?", "Paris."]],
    }
    data = load([row])
    [record] = data
    assert record.messages == [
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "And of Spain?"},
        {"role": "assistant", "content": "Madrid."},
    ]
    assert (record.instruction, record.output) == ("Capital of France?", "Paris.")
    write(data, tmp_path / "out.json", format="alpaca")
    assert json.loads((tmp_path / "out.json").read_text()) == [row]


def test_what_a_seed_was_does_not_come_back_for_an_evolved_record(tmp_path: Path) -> None:
    [seed] = load([{"messages": [{"role": "user", "content": "Sing.", "loss_weight": 0.5}]}])
    evolved = Record("s/r1", seed.id, 0, "Sing in C.", output="La.", messages=seed.messages, round=1, meta=seed.meta)
    write([evolved], tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row["messages"] == [{"role": "user", "content": "Sing in C."}, {"role": "assistant", "content": "La."}]
    assert json.loads(row["meta"]["_original"]) == {
        "messages": [{"role": "user", "content": "Sing.", "loss_weight": 0.5}]
    }


def test_columns_of_a_users_table_stay_native_in_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = [
        {"instruction": "Sing.", "score": 1.5, "n": 1, "ok": True, "tags": ["a", "b"], "note": None, "mixed": 1},
        {
            "instruction": "Dance.",
            "score": 2.5,
            "n": 2,
            "ok": False,
            "tags": [],
            "note": "x",
            "mixed": "one",
            "late": "y",
        },
    ]
    write(load(rows), tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    kinds = {field.name: str(field.type) for field in schema}
    assert kinds["score"] == "double" and kinds["n"] == "int64" and kinds["ok"] == "bool" and kinds["note"] == "string"
    assert kinds["tags"].startswith("list<") and kinds["mixed"] == "string" and kinds["late"] == "string"
    assert kinds["messages"].startswith("list<") and "role" in kinds["messages"]
    assert schema.names[0] == "messages" and schema.names[-1] == "meta"
    assert list(load(tmp_path / "out.parquet")) == list(load(rows))


def test_a_plain_csv_stays_plain(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('instruction,input,output,zip\n"Say ""hi"", twice",,"a\nb",02134\n')
    write(load(tmp_path / "in.csv"), tmp_path / "out.csv", format="alpaca")
    assert (tmp_path / "out.csv").read_bytes() == (
        b'instruction,input,output,zip\r\n"Say ""hi"", twice",,"a\nb",02134\r\n'
    )
