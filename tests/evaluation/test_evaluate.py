"""The evaluate stage, by models whose replies are written down."""

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evolvent.cli import app
from evolvent.errors import BudgetReachedError, CallError, InputError
from evolvent.evaluation.evaluate import Evaluation, answer, columns_of, evaluate, judged
from evolvent.evaluation.task import Tools
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Record
from evolvent.report import published
from evolvent.report.show import show
from evolvent.runs.manifest import write_manifest
from evolvent.runs.record_files import read_records
from tests.scripted import Opened, Scripted

pytest.importorskip("lm_eval")
MODEL, OTHER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("model", "other"))
QUESTIONS = [
    (f"How many are {n} and {n + 1}, if nothing is added to them but one another in turn?", 2 * n + 1) for n in range(6)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "gsm8k").mkdir(parents=True)
    rows = [json.dumps({"question": asked, "answer": f"So it is.\n#### {right}"}) for asked, right in QUESTIONS]
    (folder / "gsm8k" / "test.jsonl").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    def reply(prompt: str, _: Sampling) -> str | Reply:
        place = next(place for place, (asked, _) in enumerate(QUESTIONS) if asked in prompt)
        right = f"The final answer is {QUESTIONS[place][1]}"
        match place:
            case 1:
                return ""
            case 2:
                return Reply("So far it is", "length")
            case 3:
                raise CallError("the prompt has 9,000 tokens, the context 2,048")
            case 4:
                return right.removeprefix("The final answer is ")
        return right

    found = Opened([MODEL], reply)
    found[OTHER] = Scripted(lambda *_: "The final answer is 1", uri=OTHER)
    monkeypatch.setattr(opened_models, "open_chat", found.open_chat)
    return found


def evaluated(data: Path, out: Path, model: str = MODEL, **how: Any) -> Evaluation:
    return evaluate(model, tasks=["gsm8k"], data=data, out=out, **how)


def test_figures_of_a_model(data: Path, models: Opened, tmp_path: Path) -> None:
    done = evaluated(data, tmp_path / "r")
    [found] = done.figures
    assert [(one.name, one.value, one.n) for one in found.figures] == [
        ("strict match", 0.4, 5),
        ("flexible extract", 0.6, 5),
    ]
    assert (found.items, found.cut, found.empty) == (6, 1, 1)
    assert found.failed == {"the prompt has 9,000 tokens, the context 2,048": 1}
    assert found.decoding == "greedy, at most 512 tokens"
    prompt, sampling = models[MODEL].asked[0]
    assert prompt.startswith(
        "Given the following problem, reason and give a final answer to the problem.\nProblem: How"
    )
    assert (sampling.temperature, sampling.max_tokens, sampling.stop) == (0, 512, ())
    rows = list(read_records(done.stages["evaluate"].output))
    assert [row.scores["strict_match"] for row in rows] == [1, 0, 0, None, 0, 1]
    assert [row.id for row in rows] == [f"gsm8k/{n}" for n in range(6)]
    assert rows[0].teacher == MODEL and rows[0].output == "The final answer is 1"
    assert show(tmp_path / "r").evaluated == done.figures


def test_no_reply_is_paid_twice(data: Path, models: Opened, tmp_path: Path) -> None:
    evaluated(data, tmp_path / "r", limit=3)
    assert evaluated(data, tmp_path / "r", limit=3).stages["evaluate"].already_done
    with pytest.raises(InputError, match="limit"):
        evaluated(data, tmp_path / "r")
    evaluated(data, tmp_path / "r", fresh=True)
    assert len(models[MODEL].asked) == 6
    evaluated(data, tmp_path / "r", max_tokens=9, fresh=True)
    assert models[MODEL].asked[-1][1].max_tokens == 9


def test_a_dry_run_judges_nothing(data: Path, models: Opened, tmp_path: Path) -> None:
    estimate = evaluated(data, tmp_path / "r", dry_run=True).stages["evaluate"].estimate
    assert estimate is not None and estimate.models[0].calls == 6
    assert models[MODEL].asked == [] and not (tmp_path / "r").exists()


def test_the_other_model_is_estimated_and_paid_of_the_same_budget(data: Path, models: Opened, tmp_path: Path) -> None:
    how: dict[str, Any] = {"against": OTHER, "price": ["1,1"]}
    planned = evaluated(data, tmp_path / "r", dry_run=True, **how).stages
    assert [run.estimate.models[0].model for run in planned.values() if run.estimate] == [MODEL, OTHER]
    evaluated(data, tmp_path / "r", price=["1,1"])
    entry = json.loads((tmp_path / "r" / "manifest.json").read_text())["stages"]["evaluate"]
    spent = entry["paid"][MODEL]["cost"]
    with pytest.raises(BudgetReachedError, match="the other model yet to be asked"):
        evaluated(data, tmp_path / "r", budget=spent, **how)
    with pytest.raises(BudgetReachedError):
        evaluated(data, tmp_path / "r", budget=1.2 * spent, **how)
    assert evaluated(data, tmp_path / "r", budget=9 * spent, **how).differences


def test_what_was_asked_otherwise_is_said(data: Path, models: Opened, tmp_path: Path) -> None:
    evaluated(data, tmp_path / "other", OTHER, max_tokens=9)
    done = evaluated(data, tmp_path / "r", against=str(tmp_path / "other"))
    assert done.unlike == ["asked otherwise: gsm8k: max_tokens: 512, the other 9"]


def test_against_a_run_and_against_a_model(data: Path, models: Opened, tmp_path: Path) -> None:
    evaluated(data, tmp_path / "other", OTHER)
    of_run = evaluated(data, tmp_path / "r", against=str(tmp_path / "other"))
    strict, _ = of_run.differences
    assert (strict.n, strict.unpaired, strict.ours, strict.theirs) == (5, 1, 0.4, 0.2)
    assert (strict.wins, strict.losses, strict.p) == (1, 0, 1.0)
    asked = len(models[OTHER].asked)
    of_model = evaluated(data, tmp_path / "r", against=OTHER)
    assert of_model.differences == of_run.differences
    assert of_model.against == tmp_path / "r" / "against" / "evaluated.parquet"
    assert [(one.path.name, one.stages) for one in show(tmp_path / "r").within] == [("against", {"evaluate": "done"})]
    assert len(models[OTHER].asked) == 2 * asked


@pytest.mark.parametrize("wrong", ["nonsense", "data"])
def test_against_nothing_is_refused_before_anything_is_asked(
    data: Path, models: Opened, tmp_path: Path, wrong: str
) -> None:
    with pytest.raises(InputError, match="Name the run folder of an evaluation, or a model"):
        evaluated(data, tmp_path / "r", against=str(tmp_path / wrong))
    assert models[MODEL].asked == []


def test_items_that_the_training_data_hold_are_named(data: Path, models: Opened, tmp_path: Path) -> None:
    trained = [
        {"instruction": f"Please: {QUESTIONS[0][0]}", "output": "1"},
        # the words around the question are no one's
        {
            "instruction": "Given the following problem, reason and give a final answer to the problem. Problem: x",
            "output": "",
        },
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, trained)))
    done = evaluated(data, tmp_path / "r", training_data=str(tmp_path / "train.jsonl"))
    assert [row.scores["contaminated"] for row in read_records(done.stages["evaluate"].output)] == [1, 0, 0, 0, 0, 0]
    assert done.figures[0].contaminated == 1
    assert [(one.value, one.n) for one in done.figures[0].clean] == [(0.25, 4), (0.5, 4)]
    (tmp_path / "run").mkdir()
    write_manifest(tmp_path / "run", {})
    (tmp_path / "train.jsonl").rename(tmp_path / "run" / "selected.jsonl")
    assert evaluated(data, tmp_path / "r", training_data=str(tmp_path / "run")).stages["evaluate"].already_done
    (tmp_path / "mine.jsonl").write_text(json.dumps({"q": trained[0]["instruction"], "a": "1"}))
    how = {"training_data": str(tmp_path / "mine.jsonl"), "map": {"instruction": "q", "output": "a"}}
    assert evaluated(data, tmp_path / "mapped", **how).figures[0].contaminated == 1


def test_an_item_too_short_to_look_for_is_not_marked_as_clean(data: Path, models: Opened, tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": "#### 1"}, {"question": QUESTIONS[0][0], "answer": "#### 1"}]
    (data / "gsm8k" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "train.jsonl").write_text(json.dumps({"instruction": "How many?", "output": "1"}))
    typed = ["evaluate", OTHER, "--tasks", "gsm8k", "--data", str(data), "--out", str(tmp_path / "r")]
    shown = CliRunner().invoke(app, [*typed, "--training-data", str(tmp_path / "train.jsonl")]).output
    found = read_records(tmp_path / "r" / "evaluated.parquet")
    assert [row.scores["contaminated"] for row in found] == [None, 0]
    assert "gsm8k: 1 of 2 items are too short to look for" in shown


def test_a_check_that_breaks_leaves_its_item_without_a_verdict() -> None:
    record = Record("ifeval/1", "ifeval/1", 0, "q", scores={"task": "ifeval"}, meta="{}")
    model = Scripted(lambda *_: "text")
    answered = asyncio.run(answer(record, model, Sampling(0.0), columns_of(["ifeval"])))
    row = asyncio.run(judged(answered, Tools()))
    assert (row.status, row.reason, row.output) == ("failed", "no verdict: KeyError: 'key'", "text")
    assert row.scores["prompt_strict"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tasks": ["gsmk"]}, "there is no task 'gsmk'\nTasks: ifeval, ifbench, gsm8k"),
        ({"tasks": ["gsm8k", "gsm8k"]}, "a task is named twice"),
        ({"tasks": []}, "no task is named"),
        ({"tasks": ["math"]}, "task math needs .*math500_test.jsonl, which is not there"),
        ({"data": None}, "task gsm8k: openai/gsm8k on the Hub cannot be read.*\n.*--data DIR"),
        ({"model": "embedded-reward"}, "is a reward model"),
    ],
)
def test_what_cannot_be(data: Path, models: Opened, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    given = {"model": MODEL, "tasks": ["gsm8k"], "data": data, "out": tmp_path / "r"} | options
    with pytest.raises(InputError, match=words):
        evaluate(given.pop("model"), **given)


@pytest.mark.parametrize("content", ["{", '{"question": "q"}\n', ""])
def test_data_of_another_form_are_named(data: Path, models: Opened, tmp_path: Path, content: str) -> None:
    (data / "gsm8k" / "test.jsonl").write_text(content)
    with pytest.raises(InputError, match=r"task gsm8k: .*test.jsonl cannot be read: .*\n.*docs/evaluation.md"):
        evaluated(data, tmp_path / "r")


def test_in_a_recipe(data: Path, models: Opened, tmp_path: Path) -> None:
    run = import_module("evolvent.recipe").run
    given = {"model": MODEL, "tasks": ["gsm8k"], "data": str(data)}
    done = run({"out": str(tmp_path / "r"), "evaluate": given, "evaluate:b": {**given, "model": OTHER}})
    assert [one.figures[0].figures[0].value for one in done.stages.values()] == [0.4, pytest.approx(1 / 6)]
    assert done.stages["evaluate:b"].path == tmp_path / "r" / "b"
    with pytest.raises(InputError, match="no model is named\nAdd one: model: URI"):
        run({"out": str(tmp_path / "r"), "evaluate": {"tasks": ["gsm8k"]}})


def test_on_the_command_line(data: Path, models: Opened, tmp_path: Path) -> None:
    typed = ["evaluate", MODEL, "--tasks", "gsm8k", "--data", str(data), "--out", str(tmp_path / "r")]
    shown = CliRunner().invoke(app, typed).output
    assert "strict match     │ 40.00 │  21.91 │ 11.76 to 76.93 │ 5 │   1 │     1 │          1" in shown
    assert "gsm8k: 1 of 6 without a verdict: the prompt has 9,000 tokens, the context 2,048" in shown
    again = CliRunner().invoke(app, [*typed, "--against", OTHER]).output
    assert "nothing to do" in again and "40.00" in again
    assert "│ 40.00 │   20.00 │     +20.00 │" in again


CHAIN = ["Sing.", "Sing of socks.", "Sing of socks, softly."]


@pytest.fixture
def followbench(tmp_path: Path) -> Path:
    rows = [
        {"example_id": 1, "category": "style", "source": "koala", "level": level, "instruction": text, "target": ""}
        for level, text in enumerate(CHAIN)
    ]
    (tmp_path / "followbench").mkdir()
    (tmp_path / "followbench" / "style_constraints.json").write_text(json.dumps(rows))
    return tmp_path


def test_a_judge_is_asked_and_stored(followbench: Path, models: Opened, tmp_path: Path) -> None:
    models[MODEL].reply = lambda prompt, _: f"La of {prompt}"
    models[OTHER].reply = lambda prompt, _: "softly is missing\nYES, NO" if "2 added" in prompt else "YES"
    given = {"tasks": ["followbench"], "data": followbench, "out": tmp_path / "r"}
    with pytest.raises(InputError, match="followbench needs a model that judges\nName one: --judge URI"):
        evaluate(MODEL, **given)
    estimate = evaluate(MODEL, judge=OTHER, dry_run=True, **given).stages["evaluate"].estimate
    assert estimate is not None and [(one.model, one.calls) for one in estimate.models] == [(MODEL, 2), (OTHER, 2)]
    done = evaluate(MODEL, judge=OTHER, **given)
    found = {one.name: (one.value, one.n) for one in done.figures[0].figures}
    assert (found["HSR level 1"], found["HSR level 2"], found["HSR"]) == ((1, 1), (0, 1), (0.5, 2))
    assert found["HSR level 3"] == (None, 0)
    prompt, sampling = models[OTHER].asked[-1]
    assert all(text in prompt for text in (*CHAIN, "La of Sing of socks, softly.")) and sampling.temperature == 0
    models[OTHER].reply = lambda *_: "I like both."
    again = evaluate(MODEL, judge=OTHER, fresh=True, **given)
    assert again.figures == done.figures and len(models[OTHER].asked) == 2


def test_a_judge_that_says_nothing_leaves_no_verdict(followbench: Path, models: Opened, tmp_path: Path) -> None:
    models[MODEL].reply = lambda *_: "La"
    models[OTHER].reply = lambda prompt, _: "I like both." if "2 added" in prompt else "YES"
    done = evaluate(MODEL, tasks=["followbench"], data=followbench, out=tmp_path / "r", judge=OTHER)
    assert done.figures[0].failed == {
        "no verdict: the judge's reply has no last line of one YES or NO for each constraint": 1
    }


def test_beside_the_published_figures(
    data: Path, models: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["evaluate", MODEL, "--tasks", "gsm8k", "--data", str(data), "--out", str(tmp_path / "r")]
    shown = CliRunner().invoke(app, [*typed, "--published"]).output
    assert "left out: gsm8k, of 6 items here and of 1,319 there" in shown and "Llama-3-8B" not in shown
    monkeypatch.setitem(published.ITEMS, "gsm8k", 6)
    shown = CliRunner().invoke(app, [*typed, "--published"]).output
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.splitlines()]
    assert "this model 60.00" in lines
    assert "1 Llama-3-8B, Evol 8B 63.38" in lines
    assert evaluated(data, tmp_path / "r").published == []
    assert len(evaluated(data, tmp_path / "r", published=True).published) == 48
