"""What the profile small shows a model of an evolving method, and replies that end before the last step."""

import json

import pytest

from evolvent.evolution.auto_evol_instruct.applied import Applied, shown_how
from evolvent.evolution.auto_evol_instruct.demonstrated import SHOWN, demonstrations
from evolvent.evolution.auto_evol_instruct.method import Method, initial_method
from evolvent.evolution.auto_evol_instruct.parsing import final_instruction, methods_list
from evolvent.models.protocols import Reply, Usage
from evolvent.records import Record

SEED = Record("s", "s", 0, "Mend a sock.", "a red sock")
OTHER = Method("Read it.\nStep 1 #Ways#:\nStep 2 #Check#:\nStep 3 #Evolved Task#:\n\n#Instruction#:\n{instruction}")


@pytest.mark.parametrize("method", [initial_method(), OTHER])
def test_every_demonstration_keeps_to_the_form(method: Method) -> None:
    assert len(demonstrations()[0]) >= 8
    for one in demonstrations()[0]:
        reply = one.under(method)
        assert final_instruction(reply, method, one.instruction) == one.rewritten
        assert methods_list(reply, method) == "\n".join(f"{n}. {way}" for n, way in enumerate(one.ways, 1))


def test_the_method_is_shown_once_and_the_seed_last() -> None:
    applied = shown_how(initial_method())
    turns = applied.turns(SEED, "small", 5)
    assert len(turns) == 2 * SHOWN + 1
    assert ["Instruction Rewriter" in turn["content"] for turn in turns] == [True] + [False] * (2 * SHOWN)
    assert turns[-1]["content"].startswith("#Instruction#:\nMend a sock.\n")
    assert turns[-1]["content"].endswith("a red sock")
    assert turns == applied.turns(SEED, "small", 5) != applied.turns(SEED, "small", 6)
    assert applied.version != Applied(initial_method()).version


STEPS = "Step 1 #Methods List#:\n1. Add a limit.\nStep 2 #Plan#:\nAdd it.\n"


@pytest.mark.parametrize(
    ("reply", "finish", "read"),
    [
        (f"{STEPS}Step 3 #Rewritten Instruction#:\nMend two socks.", "stop", "Mend two socks."),
        (f"{STEPS}Step 3 #Rewritten Instruction#:\nMend two socks.", "length", None),
        (f"{STEPS}Step 3 #Rewritten Instruction#:\n", "stop", None),
        (STEPS, "stop", None),
        (f"Step 3 #Rewritten Instruction#:\nMend two socks.\n{STEPS}", "stop", None),
    ],
)
def test_a_reply_that_ends_before_the_last_step(reply: str, finish: str, read: str | None) -> None:
    applied = Applied(initial_method())
    said = Reply(reply, finish, Usage(1, 1))
    assert applied.read(said, SEED, "default") == read
    if read:
        assert json.loads(applied.meta(SEED, said) or "")["auto_evol_instruct"]["without_last_step"] is True
        assert applied.read(said, SEED, "paper") is None
