"""A preview: the first records with what was asked for them; the run that follows asks for none of it again."""

import json
from pathlib import Path
from typing import Any

import pytest

import evolvent
from evolvent.cli import app
from evolvent.errors import BudgetReachedError, CallError, InputError
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.runs.run import Run
from evolvent.runs.sampled import Preview
from tests.scripted import Opened, knows

A, B = (f"openai:{name}?base_url=http://host:1/v1" for name in "ab")


def replies(prompt: str, _: Sampling) -> str | Reply:
    if (known := knows(prompt)) is not None:
        return known
    if "#Evolving" in prompt or "Step 1" in prompt:
        return "#Finally Rewritten Instruction#:\nMend the sock with a needle of bone, and say why it tore in the cold."
    if "The First Prompt" in prompt:
        return "Not Equal"
    if "Rewriter" not in prompt:
        return f"Use wool \x1b[2J for it: {prompt}"
    parent = prompt.split("Prompt#:\n", 1)[1].split("\n", 1)[0]
    return parent if "number 1" in parent else f"{parent} with a needle of bone, and say \x1b[31mwhy it tore"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((A, B), replies)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Mend the sock number {n}"}) + "\n" for n in range(6)))
    return path


def asked(models: Opened) -> list[str]:
    return sorted(
        str((uri, turns, how))
        for uri, model in models.items()
        for turns, (_, how) in zip(model.conversations, model.asked, strict=True)
    )


def previewed(run: Run) -> Preview:
    assert run.preview is not None
    return run.preview


WAYS: list[dict[str, Any]] = [
    {"rounds": 2},
    {"rounds": 2, "judge": B, "retry_eliminated": 1},
    {"rounds": 2, "profile": "small"},
    {"method": "auto-evol-instruct"},
]


@pytest.mark.parametrize("how", WAYS, ids=lambda how: "-".join(map(str, how)))
def test_a_preview_and_the_run_ask_for_what_the_run_alone_asks(
    tmp_path: Path, seeds: Path, models: Opened, how: dict[str, Any]
) -> None:
    alone = list(evolvent.evolve(seeds, model=A, out=tmp_path / "alone", **how))
    wanted = asked(models)
    for model in models.values():
        model.asked.clear()
        model.conversations.clear()
    first = evolvent.evolve(seeds, model=A, out=tmp_path / "run", preview=2, **how)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "calls.sqlite"]
    paid = len(asked(models))
    assert 0 < paid < len(wanted)
    trial = previewed(first).trial
    assert previewed(first).records == 6 and list(trial.rows) == alone[: len(trial.rows)]
    assert {row.seed_index for row in trial.rows} == {0, 1}
    again = previewed(evolvent.evolve(seeds, model=A, out=tmp_path / "run", preview=2, **how)).trial
    assert len(asked(models)) == paid and again.tokens_per_second is None
    assert (again.rows, again.asked, again.counts) == (trial.rows, trial.asked, trial.counts)
    assert list(evolvent.evolve(seeds, model=A, out=tmp_path / "run", **how)) == alone
    assert asked(models) == wanted


def test_teachers_side_by_side_and_more_than_there_are(tmp_path: Path, seeds: Path, models: Opened) -> None:
    how: dict[str, Any] = {"teacher": [A, B], "out": tmp_path / "run", "price": "1000,2000", "budget": 9}
    first = previewed(evolvent.respond(seeds, preview=99, **how))
    assert [row.teacher for row in first.trial.rows] == [A, B] * 6
    assert {one.row for one in first.trial.asked} == {row.id for row in first.trial.rows}
    used = first.trial.used
    assert first.trial.expected.cost == pytest.approx(
        sum(one.prompt_tokens * 1000 + one.completion_tokens * 2000 for one in used.values()) / 1e6
    )
    assert len(asked(models)) == 12
    assert list(evolvent.respond(seeds, **how)) == list(first.trial.rows)
    assert len(asked(models)) == 12


def test_the_budget_holds_and_what_was_paid_is_not_paid_again(tmp_path: Path, seeds: Path, models: Opened) -> None:
    how: dict[str, Any] = {"teacher": A, "out": tmp_path / "run", "price": "1000,1000", "concurrency": 1}
    with pytest.raises(BudgetReachedError, match="the budget is reached"):
        evolvent.respond(seeds, preview=6, budget=0.1, **how)
    assert 0 < len(asked(models)) < 6
    evolvent.respond(seeds, preview=6, **how)
    assert len(set(asked(models))) == len(asked(models)) == 6


def test_what_the_run_would_refuse_is_refused_before_it_is_paid(tmp_path: Path, seeds: Path, models: Opened) -> None:
    run = tmp_path / "run"
    evolvent.evolve(seeds, model=A, out=run, rounds=1)
    before = len(asked(models)), (run / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="with other settings"):
        evolvent.evolve(seeds, model=A, out=run, rounds=1, system="Be brief.", preview=2)
    for given in ({"dry_run": True}, {"retry_failed": True}, {"shard": "1/2"}, {"engine": "ray", "shards": 2}):
        with pytest.raises(InputError, match="--preview makes the first records, and --"):
            evolvent.evolve(seeds, model=A, out=run, rounds=1, preview=2, **given)
    with pytest.raises(InputError, match="autoif has no --preview"):
        evolvent.evolve(model=A, out=run, method="autoif", queries=seeds, preview=2)
    done = previewed(evolvent.evolve(seeds, model=A, out=run, rounds=1, preview=2))
    assert done.trial.counts["ok"] == 1
    assert before == (len(asked(models)), (run / "manifest.json").read_bytes())
    grown = previewed(evolvent.evolve(seeds, model=A, out=run, rounds=2, preview=2))
    assert len(grown.trial.rows) == 6 and before[1] == (run / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="evolve has no option 'preview'"):
        evolvent.run({"out": str(run), "evolve": {"seeds": str(seeds), "model": A, "preview": 2}})


def test_what_is_printed(tmp_path: Path, seeds: Path, models: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evolve", str(seeds), "--model", A, "--out", str(tmp_path / "run"), "--rounds", "1", "--price", "1,2"]
    app([*command, "--preview", "2"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "and say \\x1b[31mwhy it tore" in shown
    assert "== seed 0, round 1, constraints, id " in shown and f"-- prompt to {A}\n  user:\n    You are a" in shown
    assert "-- reply (stop, " in shown and "-- verdict: eliminated: unchanged\n" in shown
    assert "what a run of all 6 records would take" in shown and "cost" in shown
    assert "preview of 2 of 6 records. Nothing else was done: the same command without --preview makes" in shown


def test_records_of_one_seed_count_each_and_their_rows_are_told_where_they_are_more(
    tmp_path: Path, seeds: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    app(["evolve", str(seeds), "--model", A, "--out", run, "--rounds", "2", "--preview", "2"], standalone_mode=False)
    assert "preview of 2 of 6 records (4 rows). Nothing else" in capsys.readouterr().out
    evolved = evolvent.evolve(seeds, model=A, out=run, rounds=2)
    usable = sum(row.round > 0 and row.status == "ok" for row in evolved)
    capsys.readouterr()
    app(["respond", run, "--out", run, "--teacher", A, "--preview", "2"], standalone_mode=False)
    assert f"preview of 2 of {usable} records. Nothing else" in capsys.readouterr().out
    app(["respond", run, "--out", run, "--teacher", A, "--teacher", B, "--preview", "1"], standalone_mode=False)
    assert f"preview of 1 of {usable} records (2 rows). Nothing else" in capsys.readouterr().out


def test_replies_without_text_failures_and_reasoning_are_shown(
    tmp_path: Path, seeds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(prompt: str, _: Sampling) -> Reply:
        if "number 0" in prompt:
            raise CallError("HTTP 500: \x1b[2J no")
        return Reply("", "stop", Usage(1, 2), reasoning="Hm\n-- verdict: kept")

    monkeypatch.setattr(opened_models, "open_chat", Opened((A,), reply).open_chat)
    command = ["respond", str(seeds), "--teacher", A, "--out", str(tmp_path / "run"), "--temperature", "1"]
    app([*command, "--preview", "2"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "-- verdict: failed: HTTP 500: \\x1b[2J no" in shown
    assert shown.count("-- reply (stop, 2 tokens)\n  reasoning:\n    Hm\n    -- verdict: kept\n  text:\n\n") == 3
    assert shown.count("(the same once more: the reply could not be used)") == 2
    assert "-- verdict: eliminated: only reasoning" in shown


def test_how_a_reply_ended_is_one_line_and_steers_no_terminal(
    tmp_path: Path, seeds: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server's own words for it, which it may have written to pass for ours."""
    models[A].reply = lambda *_: Reply("So.", "fast\n-- verdict: kept\x1b[2J", Usage(1, 2))
    words = ["evolve", str(seeds), "--model", A, "--rounds", "1", "--preview", "2", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit):
        app(words)
    shown = capsys.readouterr().out
    assert shown.count("-- reply (fast -- verdict: kept\\x1b[2J, 2 tokens)\n") == 2
    assert "\n-- verdict: kept" not in shown
