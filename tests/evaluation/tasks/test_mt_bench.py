"""MT-Bench: two turns asked in one conversation, each rated by a judge whose replies are written down."""

import json
import re
from pathlib import Path

import pytest

from evolvent.errors import CallError, InputError
from evolvent.evaluation.evaluate import Evaluation, evaluate
from evolvent.evaluation.tasks.mt_bench import UNREAD, prompt_of
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from evolvent.runs.record_files import read_records
from tests.scripted import Opened, Scripted

pytest.importorskip("lm_eval")
MODEL, JUDGE = (f"openai:{name}?base_url=http://host:1/v1" for name in ("model", "judge"))
QUESTIONS = [
    (81, "writing", ["Praise socks.", "Now in rhyme."]),
    (101, "math", ["What is 2 + 2?", "And doubled?"]),
    (121, "coding", ["Print 1.", "Print 2."]),
]
RATED = {  # by the answer that is rated
    "Praise socks. answered": "Plain.\nRating: 4",
    "Now in rhyme. answered": "Better.\nRating: 7",
    "What is 2 + 2? answered": "Rating: 10",
    "And doubled? answered": "Right enough, an eight.",
    "Print 2. answered": "Rating: 2",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "mt_bench"
    folder.mkdir(parents=True)
    questions = [dict(zip(("question_id", "category", "turns"), row, strict=True)) for row in QUESTIONS]
    (folder / "question.jsonl").write_text("\n".join(map(json.dumps, questions)))
    reference = {"question_id": 101, "choices": [{"turns": ["It is four.", "It is eight."]}]}
    (folder / "reference_answer_gpt-4.jsonl").write_text(json.dumps(reference))
    return folder.parent


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    def reply(prompt: str, _: Sampling) -> str:
        return "" if prompt == "Print 1." else f"{prompt} answered"

    def rate(prompt: str, _: Sampling) -> str:
        return RATED[re.findall(r"assistant, turn \d\]\n(.*)", prompt)[-1]]

    found = Opened([MODEL], reply)
    found[JUDGE] = Scripted(rate, uri=JUDGE)
    monkeypatch.setattr(opened_models, "open_chat", found.open_chat)
    return found


def evaluated(data: Path, out: Path) -> Evaluation:
    return evaluate(MODEL, tasks=["mt_bench"], data=data, out=out, judge=JUDGE)


def test_both_turns_are_asked_rated_and_stored(data: Path, models: Opened, tmp_path: Path) -> None:
    done = evaluated(data, tmp_path / "r")
    asked = [[turn["content"] for turn in one] for one in models[MODEL].conversations]
    assert ["Praise socks."] in asked
    assert ["Praise socks.", "Praise socks. answered", "Now in rhyme."] in asked
    [found] = done.figures
    figures = {one.name: (one.value, one.n, one.unit) for one in found.figures}
    assert figures["turn 1"] == (5.0, 3, "points")  # 4, 10, and 1 for the answer without text
    assert figures["turn 2"] == (4.5, 2, "points")
    assert figures["mean"] == (3.5, 2, "points")
    assert (figures["writing"][:2], figures["coding"][:2]) == ((5.5, 1), (1.5, 1))
    assert (figures["math"][:2], figures["stem"][:2]) == ((None, 0), (None, 0))
    assert found.failed == {f"no verdict: {UNREAD}": 1} and found.empty == 1
    row, *_ = read_records(done.stages["evaluate"].output)
    assert row.output == "Praise socks. answered" and row.messages is not None and len(row.messages) == 4
    models[MODEL].reply = models[JUDGE].reply = lambda *_: "never"
    again = evaluate(MODEL, tasks=["mt_bench"], data=data, out=tmp_path / "r", judge=JUDGE, fresh=True)
    assert again.figures == done.figures and len(models[MODEL].asked) == 6


def test_the_judge_sees_the_conversation_and_what_is_right() -> None:
    document = {"turn_1": "q1", "turn_2": "q2", "reference_1": "r1", "reference_2": "r2", "category": "math"}
    first, second = prompt_of(document, ["a1"]), prompt_of(document, ["a1", "a2"])
    assert re.findall(r"\n\[\w+: (.*)\]\n(..)(?=\n)", first) == [
        ("user, turn 1", "q1"),
        ("a right answer to turn 1", "r1"),
        ("assistant, turn 1", "a1"),
    ]
    assert [text for text in ("q1", "r1", "a1", "q2", "r2", "a2") if f"\n{text}\n" not in second] == []
    assert "to turn 2 alone" in second and "to turn 2" not in first
    plain = prompt_of({**document, "reference_1": ""}, ["a1"])
    assert "right answer" not in plain and "right answer" in first


def test_a_turn_that_fails_leaves_no_verdict(data: Path, models: Opened, tmp_path: Path) -> None:
    def reply(prompt: str, _: Sampling) -> str | Reply:
        if prompt == "Now in rhyme.":
            raise CallError("the prompt has 9,000 tokens, the context 2,048")
        return f"{prompt} answered"

    models[MODEL].reply = reply
    models[JUDGE].reply = lambda *_: "Rating: 3"
    [found] = evaluated(data, tmp_path / "r").figures
    assert found.failed == {"the prompt has 9,000 tokens, the context 2,048": 1}
    assert {one.n for one in found.figures[:3]} == {2}


def test_a_dry_run_counts_every_turn_and_every_rating(data: Path, models: Opened, tmp_path: Path) -> None:
    done = evaluate(MODEL, tasks=["mt_bench"], data=data, out=tmp_path / "r", judge=JUDGE, dry_run=True)
    estimate = done.stages["evaluate"].estimate
    assert estimate is not None and [(one.model, one.calls) for one in estimate.models] == [(MODEL, 6), (JUDGE, 6)]


def test_without_its_reference_answers_it_is_refused(data: Path, models: Opened, tmp_path: Path) -> None:
    (data / "mt_bench" / "reference_answer_gpt-4.jsonl").unlink()
    with pytest.raises(InputError, match=r"task mt_bench: .*mt_bench cannot be read: .*reference_answer_gpt-4.jsonl"):
        evaluated(data, tmp_path / "r")
