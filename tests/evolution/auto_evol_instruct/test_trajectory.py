"""Trajectories of an evolving method: what the evolver sees, what is kept of a reply, what is asked again."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from evolvent.errors import CallError
from evolvent.evolution.auto_evol_instruct.applied import Applied
from evolvent.evolution.auto_evol_instruct.method import Method, initial_method
from evolvent.evolution.templates import load_prompt
from evolvent.evolution.trajectory import Evolution, trajectory
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message, Record
from tests.scripted import Scripted

INITIAL = initial_method()
RENAMED = Method(INITIAL.text.replace("#Finally Rewritten Instruction#", "#Polished Task#"))


def seed(**fields: object) -> Record:
    return replace(Record("s3", "s3", 3, "Bake bread", input="flour", meta='{"k":1}'), **fields)  # type: ignore[arg-type]


def evolve(
    evolver: Scripted,
    record: Record | None = None,
    *,
    method: Method = INITIAL,
    judge: Scripted | None = None,
    **options: object,
) -> list[Record]:
    chosen = {"rounds": 1, "profile": "default", "sampling": Sampling(0.7, 0.95, 99)}
    how = Evolution(evolver.uri, (Applied(method),), seed=0, **{**chosen, **options})  # type: ignore[arg-type]
    return asyncio.run(trajectory(record or seed(), how, evolver, judge))


def reply(instruction: str, heading: str = "Finally Rewritten Instruction", ways: str = "1. Add.") -> str:
    return f"Step 1 #Methods List#:\n{ways}\nStep 2 #Plan#:\nAll.\nStep 4 #{heading}#:\n{instruction}"


def replies(*texts: str | Reply) -> Callable[[str, Sampling], str | Reply]:
    left = iter(texts)
    return lambda *_: next(left)


def test_lineage_and_what_the_evolver_sees() -> None:
    evolver = Scripted(replies(reply("Bake bread soon"), reply("Bake bread soon\nwith rye and seeds", ways="- a\n- b")))
    rows = evolve(evolver, rounds=2)
    assert [row.id for row in rows] == ["s3", "s3/r1", "s3/r2"]
    assert [row.parent_id for row in rows] == [None, "s3", "s3/r1"]
    assert [row.instruction for row in rows] == ["Bake bread", "Bake bread soon", "Bake bread soon\nwith rye and seeds"]
    assert {(row.seed_id, row.seed_index, row.input, row.status) for row in rows} == {("s3", 3, "flour", "ok")}
    assert {(row.method, row.operator, row.prompt_version, row.evolver) for row in rows[1:]} == {
        ("auto-evol-instruct", None, INITIAL.version, "scripted")
    }
    assert evolver.asked[1][0].endswith(
        "Bake bread soon\n\n#Input# (it belongs to the instruction: refer to it, do not copy it):\nflour"
    )


def test_the_list_of_ways_is_kept_in_meta_each_rounds_own() -> None:
    none = "#Finally Rewritten Instruction#:\nBake bread at noon"
    rows = evolve(Scripted(replies(reply("Bake bread soon", ways="1. a\n\n2. b"), none)), rounds=2)
    assert [json.loads(row.meta or "") for row in rows] == [
        {"k": 1},
        {"k": 1, "auto_evol_instruct": {"methods_list": "1. a\n\n2. b"}},
        {"k": 1},
    ]
    before = '{"auto_evol_instruct":{"methods_list":"1. before"}}'
    assert evolve(Scripted(replies(none)), seed(meta=before))[1].meta is None
    rows = evolve(Scripted(replies(reply("Bake it"))), seed(meta=None))
    assert rows[1].meta == '{"auto_evol_instruct":{"methods_list":"1. Add."}}'


def test_what_cannot_be_parsed_is_asked_again_with_another_seed_and_kept_raw_in_the_end() -> None:
    evolver = Scripted(replies("Bake rye.", "", reply("Bake rye")))
    assert evolve(evolver)[1].instruction == "Bake rye"
    assert len({sampling.seed for _, sampling in evolver.asked}) == 3

    evolver = Scripted(replies("Bake rye.", "Bake rye!", " Bake rye? "))
    row = evolve(evolver)[1]
    assert (row.status, row.reason, row.instruction) == ("eliminated", "unparsed", " Bake rye? ")

    greedy = Scripted(lambda *_: "Bake bread")  # neither unchanged nor asked again
    row = evolve(greedy, sampling=Sampling(0.0))[1]
    assert (row.status, row.reason, row.instruction, len(greedy.asked)) == ("eliminated", "unparsed", "Bake bread", 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Reply("Step 1 #Methods List#:\n1. A", "length"), "truncated"),
        (Reply(reply("Bake rye and"), "length"), "truncated"),
        (Reply(reply("Bake rye"), "content_filter"), "filtered"),
        (Reply("", "content_filter"), "filtered"),
        (Reply("", "stop"), "empty"),
        (Reply("", "stop", refusal="No."), "refused"),
        (reply("bake  BREAD!"), "unchanged"),
        (reply("Bake rye\n\nStep 1 #Methods List#:\n1. A"), "leak"),
        (reply("Bake rye, the Rewritten Instruction"), "leak"),
        (reply("Plan to bake rye"), None),
    ],
)
def test_elimination(answer: str | Reply, reason: str | None) -> None:
    row = evolve(Scripted(lambda *_: answer))[1]
    assert (row.status, row.reason) == ("eliminated" if reason else "ok", reason)


def test_the_parent_goes_on_and_failed_calls_fail_one_record() -> None:
    def say(prompt: str, sampling: Sampling) -> str:
        if "Bake bread soon" in prompt:
            raise CallError("server said no")
        return reply("Bake bread soon")

    rows = evolve(Scripted(say), rounds=3)
    assert [(row.status, row.reason, row.parent_id) for row in rows[1:]] == [
        ("ok", None, "s3"),
        ("failed", "server said no", "s3/r1"),
        ("failed", "server said no", "s3/r1"),
    ]
    rows = evolve(Scripted(replies(reply("Bake bread."), reply("Bake rye"))), rounds=2)
    assert [(row.reason, row.parent_id) for row in rows[1:]] == [("unchanged", "s3"), (None, "s3")]


def test_the_methods_own_last_heading_is_read_and_must_not_leak() -> None:
    rows = evolve(Scripted(lambda *_: reply("Bake rye", "Polished Task")), method=RENAMED)
    assert (rows[1].instruction, rows[1].status, rows[1].prompt_version) == ("Bake rye", "ok", RENAMED.version)
    rows = evolve(Scripted(lambda *_: reply("Bake a #polished task#", "Polished Task")), method=RENAMED)
    assert rows[1].reason == "leak"


def test_paper_hides_the_input_and_keeps_whatever_follows_the_marker() -> None:
    texts = ["  bake BREAD.\n\nNote: I added 3 words.", "#Instruction#: x"]
    evolver = Scripted(replies(*(reply(text) for text in texts), "#Final Rewritten Instruction#:\nx"))
    rows = evolve(evolver, rounds=3, profile="paper")
    assert [row.instruction for row in rows[1:]] == [*texts, "#Final Rewritten Instruction#:\nx"]
    assert [(row.status, row.reason) for row in rows[1:]] == [("ok", None), ("ok", None), ("eliminated", "unparsed")]
    assert {row.input for row in rows} == {"flour"}
    assert not any("flour" in prompt for prompt, _ in evolver.asked)
    assert len(evolver.asked) == 3  # one attempt each


@pytest.mark.parametrize(
    ("verdict", "status", "reason"), [("Equal", "eliminated", "equal"), ("Hm", "ok", "judge gave no verdict")]
)
def test_judge(verdict: str, status: str, reason: str) -> None:
    judge = Scripted(lambda *_: verdict)
    row = evolve(Scripted(lambda *_: reply("Bake rye")), judge=judge, equality=load_prompt("equality"))[1]
    assert (row.status, row.reason) == (status, reason)
    assert "The Second Prompt:\nBake rye\nflour" in judge.asked[0][0]
    evolve(Scripted(lambda *_: "no headings"), judge=judge, equality=load_prompt("equality"))
    assert len(judge.asked) == 1  # not asked about what a rule eliminates


def test_a_conversations_system_turn_stays_and_a_system_prompt_comes_first() -> None:
    talk = [Message(role="system", content="Be brief."), Message(role="user", content="Bake bread")]
    evolver = Scripted(lambda *_: reply("Bake rye"))
    rows = evolve(evolver, seed(messages=talk, input=""), system="You are terse.")
    assert rows[1].messages == [talk[0], Message(role="user", content="Bake rye")]
    assert evolver.conversations[0][0] == Message(role="system", content="You are terse.")
