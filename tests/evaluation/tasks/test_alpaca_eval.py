"""AlpacaEval: answers compared with a reference's by a judge whose replies are written down."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolvent.evaluation.evaluate import evaluate
from evolvent.models import models as opened_models
from evolvent.models.protocols import Sampling
from evolvent.runs.record_files import read_records
from tests.scripted import Opened, Scripted

pytest.importorskip("lm_eval")
MODEL, JUDGE, OTHER = (f"openai:{name}?base_url=http://host:1/v1" for name in ("model", "judge", "other"))
REFERENCE = "The reference's answer."
REPLIES = ["Good and long, longer than the other.", "Bad.", "", REFERENCE, "Unclear."]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "alpaca_eval"
    folder.mkdir(parents=True)
    rows = [{"dataset": "d", "instruction": f"Do {n}.", "output": REFERENCE, "generator": "g"} for n in range(5)]
    (folder / "outputs_gpt4_1106_preview.json").write_text(json.dumps(rows))
    return folder.parent


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    def verdict(prompt: str, _: Sampling) -> str:
        if "Unclear." in prompt:
            return "I cannot tell."
        ours_first = f"assistant 2]\n{REFERENCE}" in prompt
        return f"Assistant {1 if ours_first == ('Good' in prompt) else 2} is better"

    found = Opened([MODEL, OTHER], lambda prompt, _: REPLIES[int(prompt.split()[1][:-1])])
    found[OTHER].reply = lambda *_: "Bad."
    found[JUDGE] = Scripted(verdict, uri=JUDGE)
    monkeypatch.setattr(opened_models, "open_chat", found.open_chat)
    return found


def test_answers_are_compared_in_both_orders(data: Path, models: Opened, tmp_path: Path) -> None:
    done = evaluate(MODEL, tasks=["alpaca_eval"], data=data, out=tmp_path / "r", judge=JUDGE)
    rows = list(read_records(done.stages["evaluate"].output))
    assert [(row.scores["win"], row.scores["verdicts"]) for row in rows] == [
        (1.0, "win, win"),
        (0.0, "lose, lose"),
        (0.0, "empty"),
        (0.5, "same text"),
        (None, None),
    ]
    assert [row.scores["length_difference"] for row in rows[:4]] == [14, -19, -23, 0]
    [found] = done.figures
    assert found.failed == {"no verdict: the last line of the judge's reply is no verdict": 1}
    raw, controlled = found.figures
    assert (raw.name, raw.value, raw.n) == ("win rate", 1.5 / 4, 4)
    assert controlled.value is not None and controlled.low is not None and controlled.n == 4
    assert len(models[JUDGE].asked) == 6


def test_two_models_on_the_same_items(data: Path, models: Opened, tmp_path: Path) -> None:
    given: dict[str, Any] = {"tasks": ["alpaca_eval"], "data": data, "judge": JUDGE, "out": tmp_path / "r"}
    done = evaluate(MODEL, against=OTHER, **given)
    [raw] = done.differences  # the other wins nothing: at equal length there is nothing to fit
    assert (raw.name, raw.ours, raw.theirs, raw.n, raw.unpaired) == ("win rate", 0.375, 0.0, 4, 1)
    assert raw.low is not None and raw.low >= 0


def test_a_dry_run_counts_both_orders(data: Path, models: Opened, tmp_path: Path) -> None:
    done = evaluate(MODEL, tasks=["alpaca_eval"], data=data, out=tmp_path / "r", judge=JUDGE, dry_run=True)
    estimate = done.stages["evaluate"].estimate
    assert estimate is not None and [(one.model, one.calls) for one in estimate.models] == [(MODEL, 5), (JUDGE, 10)]
