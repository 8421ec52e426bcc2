"""AutoIF whole, with scripted models and the real sandbox: its three stages, its files, its funnel."""

import json
import pickle
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from evolvent.errors import CallError, InputError, RunError
from evolvent.evolution.autoif.autoif import (
    evolve_stage,
    planned,
    respond_stage,
    self_instruct_stage,
    write_training_rows,
)
from evolvent.evolution.autoif.functions_file import read_functions, write_lines
from evolvent.evolution.autoif.options import AutoIFOptions
from evolvent.evolution.autoif.rules import PROFILES
from evolvent.evolution.evolve import Evolve, evolve
from evolvent.models import models as opened_models
from evolvent.models.opening import open_chat
from evolvent.models.protocols import Sampling
from evolvent.options import Calling, Reading
from evolvent.records import Record, schema
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import read_records, record_table
from evolvent.runs.run import Run
from tests.evolution.autoif.test_back_translation import Relations
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
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
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
    assert {record.evolver for record in paired} == {MODEL}
    assert [record.id for record in paired] == [f"{record.seed_id}/r1/{1 + n % 2}" for n, record in enumerate(paired)]
    assert len(paired) == 4
    assert all(record.instruction.startswith("Tell me about the harbour") for record in paired)
    assert [row["instruction"] for row in lines(folder / "functions.jsonl")] == instructions[:2]
    assert run.output == folder / "evolved.parquet" and list(run) == evolved
    responses = list(run.stages["respond"])
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
    assert list(funnels["evolve"].items()) == [
        ("instructions", 3),
        ("samples", 9),
        ("samples read", 9),
        ("distinct functions", 3),
        ("functions not loaded", 0),
        ("functions stopped", 0),
        ("distinct cases", 9),
        ("broken cases", 0),
        ("cases without true or false", 0),
        ("verdicts", 6),
        ("no verdict", 3),
        ("no verdict: AttributeError", 3),
        ("kept cases", 6),
        ("kept functions", 2),
        ("instructions: no case agreed", 1),
        ("cross-validated instructions", 2),
        ("back-translated instructions", 2),
        ("verified instructions", 2),
        ("of these with cases of one verdict only", 0),
        ("instructions with a query", 4),
    ]
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
    assert all(stage.already_done for stage in made(tmp_path).stages.values())
    assert {path.name: path.read_bytes() for path in run.path.glob("*.jsonl")} == files
    assert len(models[MODEL].asked) == asked


@needs_wall
def test_the_variant_of_paper_1(tmp_path: Path, models: Opened) -> None:
    rule = {"prompts": 0, "queries": 2}
    run = made(tmp_path, profile="paper1", rule=rule)
    rows = list(run.stages["respond"])
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
    assert made(tmp_path, rule=rule, fresh=True).stages["respond"].counts["ok"] == 0
    assert len(models[MODEL].asked) == asked


@needs_wall
def test_a_price_may_be_one_of_a_later_stages_model(tmp_path: Path, models: Opened) -> None:
    price = ["model=1,1", "teacher=2,2", "judge=3,3"]
    run = made(tmp_path, teacher=TEACHER, judge=JUDGE, price=price, budget=1e6)
    paid = {name: {uri: one["price"] for uri, one in e.paid.items()} for name, e in read_manifest(run.path).items()}
    assert paid["self-instruct"] == paid["evolve"] == {MODEL: [1.0, 1.0]}
    assert paid["respond"] == {TEACHER: [2.0, 2.0], JUDGE: [3.0, 3.0]}
    with pytest.raises(InputError, match="there is no such model here"):
        made(tmp_path, price=["other=1,1"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"judge": "embedded-base"}, "embedded-base is a base model"),
        ({"teacher": "openai:t?api_key_env=NO_SUCH_KEY&base_url=http://host:1/v1"}, "NO_SUCH_KEY holds no key"),
        ({"judge": "hf:./nowhere"}, "there is no folder"),
        (
            {"teacher": TEACHER, "judge": JUDGE, "price": "model=1,1", "budget": 5},
            "needs the price of openai:teacher",
        ),
        ({"profile": "paper1", "judge": JUDGE}, "the judge would be asked nothing"),
        ({"profile": "paper1", "nli": "hf:some"}, "there is nothing for --nli to compare"),
        ({"nli": "hf:./nowhere"}, "there is no folder"),
        ({"templates": "nowhere"}, "nowhere holds no template of AutoIF"),
        ({"profile": "autoif-code", "samples": 2}, "least_functions is 3 and samples is 2"),
    ],
)
def test_what_a_later_stage_would_stumble_over_is_found_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    scripted = Opened((MODEL, TEACHER, JUDGE), reply)
    monkeypatch.setattr(
        opened_models,
        "open_chat",
        lambda uri, **how: (scripted.open_chat if uri in scripted else open_chat)(uri, **how),
    )
    with pytest.raises(InputError, match=words):
        made(tmp_path, **{"unsafe_execution": True, **options})
    assert not any(model.asked for model in scripted.values())
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_template_with_a_wrong_slot_is_found_before_the_first_call(tmp_path: Path, models: Opened) -> None:
    (tmp_path / "mine" / "autoif").mkdir(parents=True)
    (tmp_path / "mine" / "autoif" / "quality.j2").write_text("Judge {{ reply }}")
    with pytest.raises(InputError, match="prompt template autoif/quality: 'reply' is undefined"):
        made(tmp_path, templates=tmp_path / "mine", unsafe_execution=True)
    assert not models[MODEL].asked


def test_the_folder_of_another_method_is_left_as_it_is(tmp_path: Path, models: Opened) -> None:
    models[MODEL].reply = lambda *_: "Mend a red sock with wool"
    evolve([{"instruction": "Mend a sock"}], model=MODEL, out=tmp_path / "run", rounds=1)
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="holds evolve of another method"):
        made(tmp_path, unsafe_execution=True)
    assert len(models[MODEL].asked) == 1
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


@needs_wall
def test_answers_are_verified_by_the_functions_that_were_found_whatever_the_file_says_now(
    tmp_path: Path, models: Opened
) -> None:
    def gone(prompt: str, sampling: Sampling) -> str:
        if prompt.startswith("Judge"):
            raise CallError("the server is gone")
        return reply(prompt, sampling)

    models[MODEL].reply = gone
    assert made(tmp_path).stages["respond"].counts["failed"]
    functions = read_functions(tmp_path / "run" / "functions.jsonl").values()
    write_lines(
        tmp_path / "run" / "functions.jsonl",
        [{**one, "functions": [{"code": FUNCTIONS["poetic"][0], "share": 1.0}]} for one in functions],
    )
    models[MODEL].reply = reply
    again = made(tmp_path, retry_failed=True).stages["respond"]
    assert {record.reason for record in again} <= {None, "fails its functions", "duplicate"}


@needs_wall
@pytest.mark.parametrize("kind", ["You write", "Write a Python", "Every Python", "Answer the query", "Judge whether"])
def test_what_failed_and_is_taken_again_comes_out_as_if_nothing_had_failed(
    tmp_path: Path, models: Opened, kind: str
) -> None:
    rule = {"prompts": 2, "instructions_per_prompt": 3, "queries": 2, "responses": 3, "least_functions": 1}
    names = [
        "instructions.parquet",
        "evolved.parquet",
        "functions.jsonl",
        "responses.parquet",
        "sft.jsonl",
        "dpo.jsonl",
    ]
    made(tmp_path, rule=rule, out=tmp_path / "whole")
    calls = 0

    def flaky(prompt: str, sampling: Sampling) -> str:
        nonlocal calls
        calls += prompt.startswith(kind)
        if prompt.startswith(kind) and "lower" in prompt and (calls % 2 or "Python" in kind):
            raise CallError("the server is gone")
        return reply(prompt, sampling)

    models[MODEL].reply = flaky
    run = made(tmp_path, rule=rule)
    assert any(stage.counts["failed"] for stage in run.stages.values())
    models[MODEL].reply = reply
    again = made(tmp_path, rule=rule, retry_failed=True)
    assert not any(stage.counts["failed"] for stage in again.stages.values())
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    asked = len(models[MODEL].asked)
    assert all(stage.already_done for stage in made(tmp_path, rule=rule).stages.values())
    assert len(models[MODEL].asked) == asked


@needs_wall
def test_queries_that_are_left_out_are_counted(tmp_path: Path, models: Opened) -> None:
    path = tmp_path / "queries.jsonl"
    turns = [[{"from": "human", "value": query["instruction"]}] for query in [*QUERIES, QUERIES[0]]]
    bad = [{"from": "gpt", "value": "I begin"}]
    path.write_text("".join(json.dumps({"conversations": one}) + "\n" for one in [*turns, bad]))
    with pytest.raises(InputError, match="has no user turn"):
        made(tmp_path, queries=path)
    made(tmp_path, queries=path, skip_bad=True)
    counts = read_manifest(tmp_path / "run")["evolve"].counts
    assert {name: n for name, n in counts.items() if "queries" in name} == {
        "queries": 12,
        "queries left out: too short": 1,
        "queries left out: duplicate": 1,
        "queries left out: bad rows": 1,
    }


def test_new_instructions_that_all_fail_end_the_command(tmp_path: Path, models: Opened) -> None:
    def gone(*_: object) -> str:
        raise CallError("the server is gone")

    models[MODEL].reply = gone
    with pytest.raises(RunError, match="every record of self-instruct failed, 3 so far; the first: the server is gone"):
        made(tmp_path, rule={"prompts": 3}, unsafe_execution=True)
    with pytest.raises(RunError, match="every record of self-instruct failed, 20 so far"):
        made(tmp_path, rule={"prompts": 40}, unsafe_execution=True, concurrency=1)


@needs_wall
def test_that_no_instruction_was_verified_is_no_fault_of_the_users(tmp_path: Path, models: Opened) -> None:
    models[MODEL].reply = lambda *_: "- Be poetic"
    with pytest.raises(RunError, match="was verified: there is nothing to answer"):
        made(tmp_path)


@needs_wall
def test_a_stage_without_any_verdict_fails_with_the_most_frequent_reason(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FUNCTIONS, "commas", FUNCTIONS["poetic"])
    monkeypatch.setitem(FUNCTIONS, "lower case", FUNCTIONS["poetic"])
    with pytest.raises(RunError, match=r"no verification function gave a verdict, 9 times .*: AttributeError \(9\)"):
        made(tmp_path)
    assert read_manifest(tmp_path / "run")["evolve"].state != "done"
    assert not (tmp_path / "run" / "functions.jsonl").exists()


def test_answers_without_any_verdict_are_no_result(tmp_path: Path) -> None:
    reasons = ["no verdict: time limit", "no verdict: KeyError", "no verdict: time limit", "empty"]
    rows = [Record(f"{n}", "s", n, "q", status="eliminated", reason=reason) for n, reason in enumerate(reasons)]
    path = tmp_path / "responses.parquet"
    pq.write_table(record_table(rows, schema()), path)
    with pytest.raises(RunError, match=r"verdict, 3 times .*: time limit \(2\)"):
        write_training_rows(path, PROFILES["autoif-paper"], 0)
    assert not (tmp_path / "sft.jsonl").exists()


@needs_wall
def test_what_does_not_change_a_stages_output_does_not_bind_it(tmp_path: Path, models: Opened) -> None:
    made(tmp_path)
    entries = read_manifest(tmp_path / "run")
    assert "profile" not in entries["self-instruct"].settings
    made(tmp_path, profile="paper1", out=tmp_path / "other")
    entries = read_manifest(tmp_path / "other")
    assert set(entries["evolve"].settings["templates"]) == {"functions"}
    assert set(entries["respond"].settings["templates"]) == {"answer"}


def test_a_step_that_is_left_out_is_named(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made(tmp_path, dry_run=True)
    assert [record.getMessage() for record in caplog.records] == [
        "no --nli is given: step 5 of AutoIF, which looks for contradictions, is left out"
    ]
    caplog.clear()
    monkeypatch.setattr(opened_models, "open_pair_classifier", lambda _: Relations())
    made(tmp_path, dry_run=True, nli="hf:some")
    made(tmp_path, dry_run=True, profile="paper1")
    assert caplog.records == []


def test_a_dry_run_rehearses_step_1_and_multiplies_for_the_others(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    nli = Relations()
    monkeypatch.setattr(opened_models, "open_pair_classifier", lambda _: nli)
    teacher = "openai:t?api_key_env=NO_SUCH_KEY&base_url=http://h:1/v1"
    run = made(tmp_path, nli="hf:some", dry_run=True, teacher=teacher)
    assert run.stage == "evolve" and list(run.stages) == ["self-instruct", "evolve", "respond"]
    first, found, answers = (stage.estimate for stage in run.stages.values())
    assert first is not None and (first.calls, first.rehearsed, first.failing) == (1, 2, None)
    assert found is not None and (found.calls, found.rehearsed) == (4 * 3 + 4, 0)
    assert answers is not None and [model.calls for model in answers.models] == [4 * 2 * 4, 4 * 2 * 4]
    assert "step 7 answers: 4 instructions x 2 queries x 4 answers = 32 calls of openai:t" in "".join(answers.lines)
    assert not models[MODEL].asked and not models.how and not (tmp_path / "run").exists()


@needs_wall
def test_a_dry_run_counts_what_is_there(tmp_path: Path, models: Opened) -> None:
    made(tmp_path)
    estimates = [stage.estimate for stage in made(tmp_path, dry_run=True, samples=2).stages.values()]
    assert [one.finished for one in estimates if one is not None] == [True, False, False]
    assert [one.records for one in estimates if one is not None] == [2, 3, 8]
    assert estimates[1] is not None and estimates[1].differences == ("samples: 3 in the folder, 2 now",)
    estimates = [stage.estimate for stage in made(tmp_path, dry_run=True).stages.values()]
    assert [(one.records, one.finished) for one in estimates if one is not None] == [(2, True), (3, True), (4, True)]


@needs_wall
def test_its_stages_can_be_sent_to_another_process(tmp_path: Path, models: Opened) -> None:
    made(tmp_path)
    given = Evolve(model=MODEL, out=tmp_path / "run", method="autoif")
    by = AutoIFOptions(queries=QUERIES, nli="hf:some")
    plan = planned(tmp_path / "seeds.txt", given, by, Reading(), Calling())
    for stage_of in (self_instruct_stage, evolve_stage, respond_stage):
        stage = stage_of(plan, True)
        sent = pickle.loads(pickle.dumps(stage))
        assert (sent.settings, sent.work, sent.needs) == (stage.settings, stage.work, stage.needs)
        assert list(sent.source) == list(stage.source)


@needs_wall
def test_models_are_opened_once_and_the_cross_encoder_when_its_stage_runs(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def relations(uri: str) -> Relations:
        opened.append(uri)
        return Relations(*["neutral"] * 99)

    monkeypatch.setattr(opened_models, "open_pair_classifier", relations)
    made(tmp_path, nli="hf:some")
    assert [uri for uri, _ in models.how] == [MODEL]
    assert opened == ["hf:some"]
    made(tmp_path, nli="hf:some")
    assert opened == ["hf:some"]
    assert read_manifest(tmp_path / "run")["evolve"].settings["nli"] == "hf:some"


def test_options_of_autoif_alone(tmp_path: Path, models: Opened) -> None:
    for options, words in (
        ({"queries": None}, "queries is None"),
        ({"rounds": 2}, "--rounds is an option of evol-instruct and auto-evol-instruct"),
        ({"breadth": False}, "--no-breadth is an option of evol-instruct"),
        ({"profile": "paper"}, "no profile 'paper'"),
        ({"rule": {"sampels": 3}}, "no rule 'sampels'"),
        ({"rule": {"case_share": "0.5"}}, "no bound such as"),
        ({"rule": {"queries": 0}}, "rule queries is 0"),
        ({"rule": {"samples": 4}}, "--samples and --rule samples=N say the same"),
        ({"method": "evol-instruct"}, "--queries is an option of autoif"),
        ({"method": "auto", "queries": None}, "unknown method 'auto'"),
    ):
        with pytest.raises(InputError, match=words):
            made(tmp_path, **options)
    with pytest.raises(InputError, match="autoif needs --queries"):
        evolve([{"instruction": "Shout"}], model=MODEL, out=tmp_path / "run", method="autoif")
    assert not (tmp_path / "run" / "manifest.json").exists()


@needs_wall
@pytest.mark.parametrize("kind", ["You write", "Write a Python", "Every Python", "Answer the query", "Judge whether"])
def test_what_came_back_empty_and_is_asked_again_comes_out_as_if_nothing_had(
    tmp_path: Path, models: Opened, kind: str
) -> None:
    rule = {"prompts": 2, "instructions_per_prompt": 3, "queries": 2, "responses": 3}
    made(tmp_path, rule=rule, out=tmp_path / "whole")

    def flaky(prompt: str, sampling: Sampling) -> str:
        empty = prompt.startswith(kind) and ("lower" in prompt or "response.lower()" in prompt)
        return "" if empty else reply(prompt, sampling)

    models[MODEL].reply = flaky
    if kind == "You write":  # each of its prompts shows that seed
        with pytest.raises(RunError, match="every record of self-instruct failed, 2 so far"):
            made(tmp_path, rule=rule)
    else:
        made(tmp_path, rule=rule)
    models[MODEL].reply = reply
    made(tmp_path, rule=rule, retry_empty=True)
    for name in ("instructions.parquet", "evolved.parquet", "responses.parquet", "sft.jsonl", "dpo.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
