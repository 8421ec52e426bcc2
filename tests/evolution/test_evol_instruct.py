"""Trajectories: the schedule of operators, what the evolver sees, who is whose parent."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from evolvent.errors import CallError
from evolvent.evolution.evol_instruct import choose_operators
from evolvent.evolution.templates import load_prompt
from evolvent.evolution.trajectory import Evolution, trajectory
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message, Record
from tests.scripted import Scripted

ALL = ("constraints", "deepening", "concretizing", "reasoning", "breadth")


def seed(index: int = 0, **fields: object) -> Record:
    return replace(Record(f"s{index}", f"s{index}", index, "Bake bread", input="flour", meta='{"k":1}'), **fields)


@dataclass
class Run:
    """What a test evolves with: models that answer as it says."""

    how: Evolution
    evolver: Scripted
    judge: Scripted | None


def run(evolver: Scripted, judge: Scripted | None = None, **options: object) -> Run:
    chosen = {
        "rewritings": choose_operators(None),
        "rounds": 3,
        "profile": "default",
        "sampling": Sampling(0.7, 0.95, 99),
    }
    how = Evolution(evolver=evolver.uri, seed=0, **{**chosen, **options})  # type: ignore[arg-type]
    return Run(how, evolver, judge)


def evolve(record: Record, run: Run) -> list[Record]:
    return asyncio.run(trajectory(record, run.how, run.evolver, run.judge))


def longer(prompt: str, _: Sampling) -> str:
    parent = prompt.split("Prompt#:\n", 1)[1].split("\n", 1)[0]
    return f"{parent} with nut{len(parent)} fig{len(parent)}"  # words that are not there yet


@pytest.mark.parametrize("breadth", [True, False])
@pytest.mark.parametrize("index", range(10))
def test_schedule_is_index_plus_round_modulo_k(index: int, breadth: bool) -> None:
    names = ALL if breadth else ALL[:4]
    rows = evolve(seed(index), run(Scripted(longer), rewritings=choose_operators(None, breadth=breadth), rounds=5))
    # The paper code's: operators rotated left by round_num, sample i takes i mod K; round_num counts from 0.
    for round_num, row in enumerate(rows[1:]):
        k = round_num % len(names)
        rotated = names[k:] + names[:k]
        assert row.operator == rotated[index % len(names)]


def test_lineage() -> None:
    rows = evolve(seed(3), run(Scripted(longer), rewritings=choose_operators(None, breadth=False)))
    assert [row.id for row in rows] == ["s3", "s3/r1", "s3/r2", "s3/r3"]
    assert [row.parent_id for row in rows] == [None, "s3", "s3/r1", "s3/r2"]
    texts = [row.instruction for row in rows]
    assert all(next.startswith(f"{text} with nut") for text, next in itertools.pairwise(texts))
    assert {row.seed_id for row in rows} == {"s3"}
    assert {row.seed_index for row in rows} == {3}
    assert {row.meta for row in rows} == {'{"k":1}'}
    assert {row.evolver for row in rows[1:]} == {"scripted"}


def test_eliminated_parent_goes_on() -> None:
    replies = iter(["Bake bread.", "Bake rye bread", "Bake rye bread, salted"])
    rows = evolve(seed(), run(Scripted(lambda *_: next(replies))))
    assert [(row.status, row.reason) for row in rows[1:]] == [("eliminated", "unchanged"), ("ok", None), ("ok", None)]
    assert [row.parent_id for row in rows[1:]] == ["s0", "s0", "s0/r2"]


def test_failed_call_fails_one_record_only() -> None:
    def reply(prompt: str, sampling: Sampling) -> str:
        if "more depth" in prompt:
            raise CallError("server said no")
        return longer(prompt, sampling)

    rows = evolve(seed(), run(Scripted(reply)))
    assert [row.status for row in rows] == ["ok", "ok", "failed", "ok"]
    assert rows[2].reason == "server said no"
    assert rows[3].parent_id == "s0/r1"


def test_default_shows_the_input_and_breadth_stands_alone() -> None:
    evolver = Scripted(longer)
    rows = evolve(seed(), run(evolver, rounds=5))
    assert [row.input for row in rows] == ["flour"] * 5 + [""]
    assert all("#Input#:\nflour" in prompt for prompt, _ in evolver.asked)


def test_paper_hides_and_copies_the_input_and_keeps_everything() -> None:
    replies = iter(["", " Bake bread ", "#Rewritten Prompt#: x", "the given prompt", "new"])
    evolver = Scripted(lambda *_: next(replies))
    rows = evolve(seed(), run(evolver, rounds=5, profile="paper"))
    assert [row.instruction for row in rows[1:]] == [
        "",
        "Bake bread",
        "#Rewritten Prompt#: x",
        "the given prompt",
        "new",
    ]
    assert {row.status for row in rows} == {"ok"}
    assert {row.input for row in rows} == {"flour"}
    assert not any("flour" in prompt for prompt, _ in evolver.asked)
    assert [row.parent_id for row in rows[1:]] == ["s0", "s0/r1", "s0/r2", "s0/r3", "s0/r4"]


def test_an_empty_reply_is_asked_again_with_another_seed_but_not_when_greedy() -> None:
    replies = iter(["", "  ", "Bake rye bread"])
    evolver = Scripted(lambda *_: next(replies))
    rows = evolve(seed(), run(evolver, rounds=1))
    assert rows[1].instruction == "Bake rye bread"
    assert len({sampling.seed for _, sampling in evolver.asked}) == 3

    greedy = Scripted(lambda *_: "")
    rows = evolve(seed(), run(greedy, rounds=1, sampling=Sampling(0.0)))
    assert (rows[1].status, rows[1].reason) == ("eliminated", "empty")
    assert len(greedy.asked) == 1


@pytest.mark.parametrize(
    ("verdict", "status", "reason"),
    [("Equal", "eliminated", "equal"), ("Not Equal", "ok", None), ("Hm", "ok", "judge gave no verdict")],
)
def test_judge(verdict: str, status: str, reason: str | None) -> None:
    judge = Scripted(lambda *_: verdict)
    rows = evolve(seed(), run(Scripted(longer), rounds=1, judge=judge, equality=load_prompt("equality")))
    assert (rows[1].status, rows[1].reason) == (status, reason)
    prompt, sampling = judge.asked[0]
    assert "The First Prompt:\nBake bread\nflour" in prompt
    assert "The Second Prompt:\nBake bread with nut10 fig10\nflour" in prompt
    assert sampling.temperature == 0


def test_the_judge_is_not_asked_about_what_a_rule_eliminates() -> None:
    judge = Scripted(lambda *_: "Equal")
    evolve(seed(), run(Scripted(lambda *_: "bake bread"), rounds=2, judge=judge, equality=load_prompt("equality")))
    assert judge.asked == []


def test_a_conversations_system_turn_stays() -> None:
    talk = [Message(role="system", content="Be brief."), Message(role="user", content="Bake bread")]
    rows = evolve(seed(messages=talk, input=""), run(Scripted(longer), rounds=1))
    assert rows[1].messages == [talk[0], Message(role="user", content="Bake bread with nut10 fig10")]


def test_system_prompt_comes_first() -> None:
    seen: list[list[Message]] = []

    class Listening(Scripted):
        async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
            seen.append(list(messages))
            return await super().chat(messages, sampling)

    evolve(seed(), run(Listening(longer), rounds=1, system="You are terse."))
    assert [turn["role"] for turn in seen[0]] == ["system", "user"]
    assert seen[0][0]["content"] == "You are terse."
