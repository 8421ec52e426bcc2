"""evolution_reward: the evolved instruction is judged as the answer to the prompt filled with its parent's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evolvent import compare, respond, score
from evolvent.evolution.evol_instruct import IN_DEPTH, choose_operators
from evolvent.evolution.templates import load_prompt
from evolvent.metrics.absent import NoScoresError
from evolvent.metrics.evolution_reward import OPERATORS, Parents, evolved
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Reward, Sampling
from evolvent.near_duplicates import SpooledTexts
from evolvent.records import Message, Record
from evolvent.runs.earlier_files import with_earlier_files
from evolvent.runs.run import Run
from tests.runs.staged import EVOLVER, OTHER, TEACHER, longer, write_seeds
from tests.runs.staged import evolved as evolve
from tests.scripted import Opened


class OfPrompt:
    """A reward model: the length of what was asked."""

    uri = identity = "hf:of-prompt"
    context = 1000

    def __init__(self) -> None:
        self.read: list[list[Message]] = []

    def rewards(self, conversations: Sequence[Sequence[Message]], **_: object) -> list[Reward | str]:
        self.read += [list(turns) for turns in conversations]
        return [Reward(float(len(turns[0]["content"])), 3) for turns in conversations]

    def close(self) -> None: ...


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> OfPrompt:
    def reply(prompt: str, sampling: Sampling) -> Reply:  # the second seed's first evolution is eliminated
        leaks = "number 1:" in prompt and "harder" in prompt and "one further constraint" in prompt
        return Reply("the given prompt", "stop") if leaks else longer(prompt, sampling)

    model = OfPrompt()
    opened = Opened((EVOLVER, TEACHER, OTHER), reply)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    monkeypatch.setattr(opened_models, "open_reward_model", lambda *_, **__: model)
    return model


def rewarded(data: Run | Path, out: Path, **options: Any) -> Run:
    return score(data, metrics=["evolution_reward"], reward_model="hf:of-prompt", out=out, **options)


def test_the_operators_are_those_of_evol_instruct() -> None:
    assert {one.operator: one.version for one in choose_operators(None)} == {
        name: prompt.version for name, prompt in OPERATORS.items()
    }
    assert tuple(OPERATORS)[: len(IN_DEPTH)] == IN_DEPTH


def test_each_evolution_answers_the_prompt_that_made_it(tmp_path: Path, judge: OfPrompt) -> None:
    run = evolve(write_seeds(tmp_path, range(2)), tmp_path / "run", rounds=2, profile="paper")
    rows = {row.id: row for row in run}
    made = [row for row in rows.values() if row.round]
    rewarded(run.output, tmp_path / "scored")
    asked = [
        load_prompt(row.operator or "").render(instruction=rows[row.parent_id or ""].instruction, input="")
        for row in made
    ]
    assert [[turn["content"] for turn in turns] for turns in judge.read] == [
        [prompt, row.instruction] for prompt, row in zip(asked, made, strict=True)
    ]
    scored = {row.id: row.scores for row in Run(tmp_path / "scored", "score", tmp_path / "scored/scored.parquet", {})}
    assert [scored[row.id]["evolution_reward"] for row in made] == list(map(len, asked))
    seeds = [scored[row.id] for row in rows.values() if not row.round]
    assert {row["score_reason"] for row in seeds} == {"evolution_reward: not evolved"}
    [group] = compare(tmp_path / "scored").groups
    names = {figure.name: figure for figure in group.figures}
    assert names["evolution_reward"].excluded == {"not evolved": 2}
    assert names["evolution_reward_per_length"].value == pytest.approx(sum(map(len, asked)) / len(asked))


def test_the_parents_of_answers_are_in_the_files_that_they_were_made_of(tmp_path: Path, judge: OfPrompt) -> None:
    run = evolve(write_seeds(tmp_path, range(2)), tmp_path / "run", rounds=2)
    seeds_and_first = {row.id: row.instruction for row in run}
    for out in (run.path, tmp_path / "elsewhere"):
        judge.read.clear()
        answers = respond(run, teacher=[TEACHER, OTHER], out=out)
        rows = list(rewarded(answers, tmp_path / f"scored {out.name}"))
        assert len(rows) >= 6 and None not in [row.scores["evolution_reward"] for row in rows]
        assert all(seeds_and_first[row.parent_id or ""] in judge.read[n][0]["content"] for n, row in enumerate(rows))
        assert list(with_earlier_files(answers.output)) == [answers.output, run.output]
    evolve(write_seeds(tmp_path, range(3)), tmp_path / "run", rounds=1, fresh=True)
    assert list(with_earlier_files(answers.output)) == [answers.output]  # another file has that name now
    with pytest.raises(NoScoresError, match="evolution_reward: what it was evolved from is not there"):
        rewarded(answers, tmp_path / "lost")


def test_why_there_is_none() -> None:
    texts = SpooledTexts()
    texts.append("Mend a sock")
    parents = Parents({"s": 0}, texts)

    def of(operator: str | None, text: str = "Mend two", parent: str | None = "s", **more: Any) -> object:
        return evolved(Record("s/r1", "s", 0, text, parent_id=parent, operator=operator, round=1, **more), parents)

    assert of("breadth", parent=None) == "not evolved"
    assert of(None, method="auto-evol-instruct") == "paper 1 has no prompt for auto-evol-instruct"
    assert of("my own") == "paper 1 has no prompt for my own"
    assert of("breadth", " \n") == "empty instruction"
    assert of("breadth", parent="t") == "what it was evolved from is not there"
    assert isinstance(of("breadth"), list)
