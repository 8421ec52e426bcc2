"""What the steps after the first take at the most: the product of what the rules ask for."""

from evolvent.evolution.autoif.funnel import evolve_formula, instructions_at_most, respond_formula
from evolvent.evolution.autoif.rules import PROFILES
from tests.evolution.autoif.settings import settings

PAPER = settings(model="m", teacher="t", judge="j")
PAPER1 = settings("paper1", model="m", teacher="t")


def test_the_papers_constants() -> None:
    instructions = instructions_at_most(36, PROFILES["autoif-paper"])
    assert instructions == 5_036
    evolve = evolve_formula(PAPER, instructions, known=False)
    assert evolve.lines == (
        "at most: if every prompt of step 1 brings as many instructions as it asks for, no two alike",
        "step 2 functions: 5,036 instructions x 8 samples = 40,288 calls of m",
        "step 4 back-translation: 5,036 instructions = 5,036 calls of m",
    )
    assert (evolve.records, evolve.calls, evolve.max_tokens) == (5_036, {"m": 45_324}, 200)
    respond = respond_formula(PAPER, [(instructions, "instructions"), (16, "queries")], known=False)
    assert respond.lines == (
        "at most: if every prompt of step 1 brings as many instructions as it asks for, no two alike, "
        "every instruction is verified, every answer passes its functions",
        "step 7 answers: 5,036 instructions x 16 queries x 8 answers = 644,608 calls of t",
        "step 8 quality: 5,036 instructions x 16 queries x 8 answers = 644,608 calls of j",
    )
    assert respond.calls == {"t": 644_608, "j": 644_608}


def test_steps_that_a_profile_leaves_out_are_not_counted() -> None:
    assert evolve_formula(PAPER1, 780, known=False).calls == {"m": 6_240}
    assert respond_formula(PAPER1, [(780, "instructions"), (16, "queries")], known=False).calls == {"t": 12_480}


def test_what_is_known_is_not_assumed() -> None:
    assert evolve_formula(PAPER1, 70, known=True).lines == (
        "step 2 functions: 70 instructions x 8 samples = 560 calls of m",
    )
    assert respond_formula(PAPER, [(70, "instructions with a query")], known=True).lines == (
        "at most: if every answer passes its functions",
        "step 7 answers: 70 instructions with a query x 8 answers = 560 calls of t",
        "step 8 quality: 70 instructions with a query x 8 answers = 560 calls of j",
    )


def test_one_model_does_all_the_work() -> None:
    one = settings(model="m", teacher="m", judge="m")
    assert respond_formula(one, [(2, "instructions with a query")], known=True).calls == {"m": 32}
