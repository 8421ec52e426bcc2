"""Commands out of settings: typed again in the folder of the run they find that there is nothing to do."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from evolvent.cli import app
from evolvent.commands.table import made
from evolvent.evaluation.evaluate import evaluate
from evolvent.evolution.evolve import evolve
from evolvent.metrics.score import score
from evolvent.report.page.commands import ranking_command
from evolvent.report.page.provenance import provenance
from evolvent.report.page.source import read_sources
from evolvent.responses.respond import respond
from evolvent.runs.manifest import StageEntry, write_manifest
from evolvent.selection.select import select
from evolvent.training.train import train

SEEDS = [{"q": f"How many are {n} and {n + 1}?"} for n in range(8)]


def told(folder: Path) -> list[str]:
    """The commands of a run and of those that lie in it."""
    return [line for run in read_sources([folder]).runs for one in provenance(run) for line in one.command.splitlines()]


def test_what_they_make_is_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seeds.jsonl").write_bytes(b"\n".join(map(orjson.dumps, SEEDS)))
    Path("test.jsonl").write_bytes(orjson.dumps({"instruction": "Something else " * 10, "output": "that nobody has"}))
    how: dict[str, Any] = {"temperature": 0.5, "max_tokens": 40, "breadth": False, "limit": 3, "rounds": 1}
    evolve("seeds.jsonl", model="embedded", map={"instruction": "q"}, without_rules=["paraphrase"], out="run", **how)
    respond("run", teacher=["embedded"], system="Be brief.", seed=3, max_tokens=40, out="run")
    score("run", base_model="embedded-base", layout="chat", metrics=["grape"], out="run")
    score("run", reward_model="embedded-reward", metrics=["reward"], out="run")
    kept = {"where": ["reward<1000"], "keep_cut": True, "decontaminate": ["test.jsonl"], "to": "alpaca"}
    select("run", by="grape", top=2, ascending=True, out="run/best.jsonl", **kept)
    quick = {"num_train_epochs": 1, "batch_size": 1, "max_length": "none"}
    train("run", base_model="embedded-base", lora={"r": 2}, set=quick, seed=1, out="run/student")
    evaluate("embedded", tasks=["embedded_sums"], limit=2, max_tokens=30, out="run")
    commands = told(Path("run"))
    assert [line.split()[1] for line in commands] == "evolve respond score score select train evaluate".split()  # noqa: SIM905
    before = Path("run/manifest.json").read_bytes()
    for line in commands:
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output, done.exception)
    assert Path("run/manifest.json").read_bytes() == before


@pytest.mark.parametrize("part", [{}, {"pool": 40, "optimizer_temperature": 0.3}])
def test_a_search_and_what_only_a_digest_tells(tmp_path: Path, part: dict[str, Any]) -> None:
    source = {"digest": "d", "source": "seeds.jsonl", "rows": 9}
    how = {"evolver": "embedded", "optimizer": "openai:o", "initial_method": "ab", "prompts": {}, "pool": 2000, **part}
    judged = {"model": "embedded", "tasks": ["gsm8k", "math"], "training_data": "d", "judge": None}
    judged |= {"decoding": {"gsm8k": {"max_tokens": 9}, "math": {"max_tokens": 10}}}
    scored = {"scores by openai:j, 2048 tokens, strict, v1, against d": ["win"]}
    done: Callable[[dict[str, Any]], StageEntry] = lambda settings: StageEntry(settings, source, "done")  # noqa: E731
    folder = tmp_path / "METHOD.run"
    folder.mkdir()
    write_manifest(folder, {"optimize-method": done(how), "score": done(scored), "evaluate": done(judged)})
    search, win, evaluated = told(folder)
    more = " --pool 40 --optimizer-temperature 0.3" if part else ""
    assert (
        search
        == f"evolvent optimize-method seeds.jsonl --evolver embedded --optimizer openai:o{more} --out METHOD.yaml"
    )
    assert win.endswith("seeds.jsonl --judge openai:j --against DATA --metrics win --strict --out METHOD.run")
    assert evaluated.endswith("--tasks gsm8k,math --data seeds.jsonl --training-data DATA --out METHOD.run")


PLAN = {"base_model": ["embedded-base"], "judge": None, "sample": 60, "shift_rewards": True, "seed": 0}
TRIAL = {"items": {"embedded_sums": 9, "embedded_forms": 7}, "rows": 50, "seeds": 3}


@pytest.mark.parametrize(
    ("plan", "command"),
    [
        (
            {"ranked": "teachers", "candidates": ["openai:t", "mine"], "input": {"mine": "d"}},
            "teachers --teacher openai:t --responses mine=DATA",
        ),
        (
            {"ranked": "evolvers", "candidates": ["openai:e", "openai:f"], "input": {"seeds": "d"}, "rounds": 2},
            "evolvers DATA --model openai:e --model openai:f --rounds 2",
        ),
        ({"ranked": "data", "candidates": ["a", "b"], "input": {"a": "d", "b": "e"}}, "data a=DATA b=DATA"),
    ],
)
def test_a_ranking_by_its_plan(plan: dict[str, Any], command: str) -> None:
    training = {"learning_rate": 0.0005, "num_train_epochs": 10, "batch_size": 16, "warmup_steps": 0.03, "lora": None}
    line = ranking_command({**PLAN, **plan, "trial": {**TRIAL, "training": training}}, "ranking")
    of_trial = "--trial --trial-tasks embedded_sums,embedded_forms --trial-limit 9 --trial-rows 50"
    of_all = f"--base-model embedded-base --sample 60 --shift-rewards {of_trial} --trial-set learning_rate=0.0005"
    assert line == f"evolvent rank {command} {of_all} --out ranking"
    name, words = f"rank {plan['ranked']}", shlex.split(line)[3:]
    parsed = made(name, words).make_context(name, words).params
    assert (parsed["trial_rows"], list(parsed["base_model"]), parsed["sample"]) == (50, ["embedded-base"], 60)
