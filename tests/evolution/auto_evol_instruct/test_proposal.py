"""Candidates: what the analysis is shown, and what becomes of the optimizer's replies."""

import asyncio
from dataclasses import replace

import pytest

from evolvent.errors import CallError
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.evolution.auto_evol_instruct.proposal import Candidate, Optimizer, cases_of, propose
from evolvent.evolution.templates import load_prompt
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Record
from tests.evolution.auto_evol_instruct.scripted_search import fenced, method
from tests.scripted import Scripted


def record(round: int, text: str, status: str = "ok", reason: str | None = None) -> Record:
    return Record("s", "s", 0, text, input="an input", round=round, status=status, reason=reason)  # type: ignore[arg-type]


def test_cases() -> None:
    seed = record(0, "Mend\n\n a  sock. {instruction}")
    trajectories = [
        [seed, record(1, "Mend two."), record(2, "Mend three.")],
        [seed, record(1, "", "failed", "no"), record(2, "Mend both.")],
        [seed, record(1, "", "failed", "no")],
        [
            seed,
            record(1, "I would rather\nnot.", "eliminated", "unparsed"),
            record(2, "Mend!", "eliminated", "unchanged"),
        ],
    ]
    assert cases_of(trajectories) == (
        "Case 1\nStage 0: Mend a sock. {instruction}\nStage 1: Mend two.\nStage 2: Mend three.\n\n"
        "Case 2\nStage 0: Mend a sock. {instruction}\nStage 1: Mend both.\n\n"
        "Case 3\nStage 0: Mend a sock. {instruction}\nStage 1: (no instruction: the reply did not keep to the format; it was: "
        "I would rather not.)\nStage 2: Mend!"
    )
    assert cases_of([[seed, record(1, "", "failed")]]) == ""


def proposed(model: Scripted) -> Candidate:
    run = Optimizer(
        model,
        Sampling(0.6, 0.95),
        0,
        load_prompt("auto_evol_instruct/trajectory_analysis"),
        load_prompt("auto_evol_instruct/method_optimization"),
    )
    return asyncio.run(propose(2, "step-1/candidate-2", initial_method(), "Case 1\nStage 0: x", run))


def test_a_candidate() -> None:
    model = Scripted(
        lambda prompt, _: (
            fenced(method(3)) if prompt.startswith("Feedback:") else " Case 1: \n\n {{ no }} {instruction}\n"
        )
    )
    candidate = proposed(model)
    assert candidate.method is not None
    assert (candidate.number, candidate.feedback) == (2, "Case 1:\n\n {{ no }} {instruction}")
    assert (candidate.text, candidate.problem) == (method(3), None)
    analysed, mended = (prompt for prompt, _ in model.asked)
    assert "\n\nCase 1\nStage 0: x\n\n" in analysed
    assert mended.startswith("Feedback:\nCase 1:\n\n {{ no }} {instruction}\n\n")
    assert initial_method().text in mended


def test_blanks_at_line_ends_are_no_part_of_a_method() -> None:
    model = Scripted(lambda *_: fenced(method(3).replace("\n", " \t\n")))
    assert proposed(model).method == replace(initial_method(), text=method(3))


def test_without_feedback_nothing_is_mended() -> None:
    model = Scripted(lambda *_: " \n")
    candidate = proposed(model)
    assert (candidate.method, candidate.problem) == (None, "its feedback is empty")
    assert len(model.asked) == 3  # another seed might say more


def test_an_invalid_reply_is_not_asked_for_again() -> None:
    model = Scripted(lambda prompt, _: "No fence." if prompt.startswith("Feedback:") else "Case 1: no")
    candidate = proposed(model)
    assert (candidate.method, candidate.text) == (None, "No fence.")
    assert candidate.problem == "it is not in a fence that begins with ```Optimized Method"
    assert len(model.asked) == 2


def test_a_reply_that_was_cut_says_so() -> None:
    cut = Reply(fenced(method(3)).rpartition("```")[0], "length")
    candidate = proposed(Scripted(lambda prompt, _: cut if prompt.startswith("Feedback:") else "Case 1: no"))
    assert candidate.problem == "its fence is not closed (the reply was cut at the token limit, --max-tokens)"
    whole = Reply(fenced(method(3)) + "I have", "length")
    candidate = proposed(Scripted(lambda prompt, _: whole if prompt.startswith("Feedback:") else "Case 1: no"))
    assert (candidate.text, candidate.problem) == (method(3), None)


@pytest.mark.parametrize("fails", ["The cases", "Feedback"])
def test_a_call_that_fails(fails: str) -> None:
    def reply(prompt: str, _: Sampling) -> Reply:
        if prompt.startswith(fails):
            raise CallError("server said no")
        return Reply("Case 1: no", "stop")

    candidate = proposed(Scripted(reply))
    assert (candidate.method, candidate.problem) == (None, "its calls failed: server said no")


def test_stages_without_an_instruction_say_why_and_how_the_reply_began() -> None:
    seed = record(0, "Mend a sock.")
    cut, nothing = record(1, "x" * 400, "eliminated", "truncated"), record(2, "", "eliminated", "empty")
    shown = cases_of([[seed, cut, nothing]]).splitlines()
    assert shown[2] == f"Stage 1: (no instruction: the reply was cut at its token limit; it was: {'x' * 300} …)"
    assert shown[3] == "Stage 2: (no instruction: the reply held no text)"
