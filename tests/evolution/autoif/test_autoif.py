"""AutoIF whole, with scripted models and the real sandbox: its three stages, its files, its funnel."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from evolvent.errors import InputError
from evolvent.evolution.evolve import evolve
from evolvent.models.protocols import Sampling
from evolvent.runs import stage
from evolvent.runs.folder import Run
from evolvent.runs.manifest import read_manifest
from evolvent.runs.tables import read_records
from tests.sandbox.wall import needs_wall
from tests.scripted import Opened

MODEL, TEACHER, JUDGE = (f"openai:{name}?base_url=http://host:1/v1" for name in ("model", "teacher", "judge"))
QUERIES = [{"instruction": f"Tell me about the harbour in town number {n}"} for n in range(12)] + [{"instruction": "?"}]

LOWER = "def evaluate(response):\n    return response == response.lower()"
FUNCTIONS = {
    "lower case": (LOWER, [("all low", True), ("Not Low", False), ("ÄH", False)]),
    "commas": ("def evaluate(response):\n    return ',' not in response", [("a b", True), ("a, b", False), ("", True)]),
    "poetic": ("def evaluate(response):\n    return response.nonsense", [("a", True), ("b", False), ("c", True)]),
}


def reply(prompt: str, sampling: Sampling) -> str:
    if prompt.startswith("You write instructions"):
        return "Here you are:\n- Use no commas\n- use no commas.\n- Be poetic"
    if prompt.startswith("Write a Python function"):
        [(code, cases)] = [found for word, found in FUNCTIONS.items() if word in prompt.split("\n")[1]]
        content = {"func": code, "cases": [{"input": text, "output": follows} for text, follows in cases]}
        return f"```json\n{json.dumps(content)}\n```"
    if prompt.startswith("Every Python function"):
        return json.dumps(["Follow it"] * prompt.count("def evaluate"))
    if prompt.startswith("Answer the query"):
        drawn = sampling.seed or 0
        return f"it lies by the sea {drawn % 3}" if drawn % 2 else f"It lies, I think, by the sea {drawn % 3}"
    assert prompt.startswith("Judge whether")
    return "It answers it.\nScore: 9"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((MODEL, TEACHER, JUDGE), reply)
    monkeypatch.setattr(stage, "open_chat", opened.open_chat)
    return opened


def made(folder: Path, **options: Any) -> Run:
    seeds = folder / "seeds.txt"
    seeds.write_text("Answer in lower case\n")
    given = {"rule": {"prompts": 1, "instructions_per_prompt": 3, "queries": 2, "responses": 4}, "samples": 3}
    return evolve(
        seeds, **{"model": MODEL, "out": folder / "run", "method": "autoif", "queries": QUERIES} | given | options
    )


def lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@needs_wall
def test_the_whole_path(tmp_path: Path, models: Opened) -> None:
    run = made(tmp_path, teacher=TEACHER, judge=JUDGE)
    folder = run.path
    instructions = [record.instruction for record in read_records(folder / "instructions.parquet")]
    assert instructions == ["Answer in lower case", "Use no commas", "use no commas.", "Be poetic"]
    evolved = list(read_records(folder / "evolved.parquet"))
    assert [(record.round, record.status, record.instruction) for record in evolved if not record.round] == [
        (0, "ok", "Answer in lower case"),
        (0, "ok", "Use no commas"),
        (0, "eliminated", "Be poetic"),
    ]
    paired = [record for record in evolved if record.round]
    assert [record.id for record in paired] == [f"{record.seed_id}/r1/{1 + n % 2}" for n, record in enumerate(paired)]
    assert len(paired) == 4
    assert all(record.instruction.startswith("Tell me about the harbour") for record in paired)
    assert [row["instruction"] for row in lines(folder / "functions.jsonl")] == instructions[:2]
    responses = list(run)
    assert len(responses) == 16
    assert {record.teacher for record in responses} == {TEACHER}
    kept = [record for record in responses if record.status == "ok"]
    sft = lines(folder / "sft.jsonl")
    assert [row["messages"][1]["content"] for row in sft] == [record.output for record in kept]
    assert kept and all(record.output == record.output.lower() or "," not in record.output for record in kept)
    assert {"prompt", "chosen", "rejected"} <= set(lines(folder / "dpo.jsonl")[0])
    funnels = {name: entry.counts["funnel"] for name, entry in read_manifest(folder).items()}
    assert funnels["self-instruct"] == {
        "seed instructions": 1,
        "new instructions asked for": 3,
        "new instructions": 3,
        "distinct instructions": 3,
    }
    assert funnels["evolve"]["verified instructions"] == 2
    assert funnels["evolve"]["instructions with a query"] == 4
    assert (funnels["respond"]["answers"], funnels["respond"]["SFT rows"]) == (16, len(kept))
    assert {model.closed for model in models.values()} == {True}


@needs_wall
def test_the_same_command_finds_nothing_to_do_and_mends_lost_files(tmp_path: Path, models: Opened) -> None:
    run = made(tmp_path)
    files = {path.name: path.read_bytes() for path in run.path.glob("*.jsonl")}
    assert set(files) == {"functions.jsonl", "sft.jsonl", "dpo.jsonl"}
    asked = len(models[MODEL].asked)
    for name in files:
        (run.path / name).unlink()
    assert made(tmp_path).already_done
    assert {path.name: path.read_bytes() for path in run.path.glob("*.jsonl")} == files
    assert len(models[MODEL].asked) == asked


@needs_wall
def test_the_variant_of_paper_1(tmp_path: Path, models: Opened) -> None:
    rule = {"prompts": 0, "queries": 2}
    run = made(tmp_path, profile="paper1", rule=rule)
    rows = list(run)
    assert [(row.instruction, row.input in {query["instruction"] for query in QUERIES}) for row in rows] == [
        ("Answer in lower case", True)
    ] * 2
    assert {row.status for row in rows} == {"ok"}
    kinds = {prompt.split()[0] for prompt, _ in models[MODEL].asked}
    assert kinds == {"Write", "Answer"}  # no back-translation, no judge
    assert {sampling.temperature for prompt, sampling in models[MODEL].asked if prompt.startswith("Answer")} == {0.0}
    assert len(lines(run.path / "sft.jsonl")) == 2


@needs_wall
def test_a_seed_that_is_a_conversation_leaves_nothing_of_it_behind(tmp_path: Path, models: Opened) -> None:
    seed = [{"role": "user", "content": "Answer in lower case"}, {"role": "assistant", "content": "NO"}]
    rule = {"prompts": 0, "queries": 1, "responses": 1}
    run = evolve(
        [{"messages": seed}], model=MODEL, out=tmp_path / "run", method="autoif", queries=QUERIES, samples=3, rule=rule
    )
    (asked,) = [record for record in read_records(run.path / "evolved.parquet") if record.round]
    assert (asked.output, asked.messages) == ("", None)


@needs_wall
def test_a_rule_of_a_later_stage_leaves_the_earlier_ones_alone(tmp_path: Path, models: Opened) -> None:
    made(tmp_path)
    asked = len(models[MODEL].asked)
    rule = {"prompts": 1, "instructions_per_prompt": 3, "queries": 2, "responses": 4, "quality": ">=10"}
    with pytest.raises(InputError, match="quality: '>=8' in the folder, '>=10' now"):
        made(tmp_path, rule=rule)
    assert made(tmp_path, rule=rule, fresh=True).counts["ok"] == 0
    assert len(models[MODEL].asked) == asked


def test_options_of_autoif_alone(tmp_path: Path, models: Opened) -> None:
    for options, words in (
        ({"queries": None}, "needs queries"),
        ({"rounds": 2}, "--rounds is an option of evol-instruct and auto-evol-instruct"),
        ({"breadth": False}, "--no-breadth is an option of evol-instruct"),
        ({"profile": "paper"}, "no profile 'paper'"),
        ({"rule": {"sampels": 3}}, "no rule 'sampels'"),
        ({"rule": {"case_share": "0.5"}}, "no bound such as"),
        ({"rule": {"queries": 0}}, "rule queries is 0"),
        ({"method": "evol-instruct"}, "--queries is an option of autoif"),
        ({"method": "auto", "queries": None}, "unknown method 'auto'"),
    ):
        with pytest.raises(InputError, match=words):
            made(tmp_path, **options)
    assert not (tmp_path / "run" / "manifest.json").exists()
