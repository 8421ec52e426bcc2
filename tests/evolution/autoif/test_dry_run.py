"""What the steps after the first take at the most: the product of what the rules ask for."""

from evolvent.evolution.autoif.dry_run import by_model, formula, instructions_at_most, step_calls
from evolvent.evolution.autoif.rules import PROFILES
from evolvent.models.protocols import Sampling

PAPER, PAPER1 = PROFILES["autoif-paper"], PROFILES["paper1"]
MODELS = {"model": "m", "teacher": "t", "judge": "j"}


def test_the_papers_constants() -> None:
    instructions = instructions_at_most(36, PAPER)
    assert instructions == 5_036
    steps = step_calls(PAPER, instructions=instructions, queries=90_000, **MODELS)
    assert [str(step) for step in steps] == [
        "2 functions: 5,036 instructions x 8 samples = 40,288 calls of m",
        "4 back-translation: 5,036 instructions = 5,036 calls of m",
        "7 answers: 5,036 instructions x 16 queries x 8 answers = 644,608 calls of t",
        "8 quality: 5,036 instructions x 16 queries x 8 answers = 644,608 calls of j",
    ]
    assert by_model(steps) == {"m": 45_324, "t": 644_608, "j": 644_608}
    assert formula(steps, Sampling(max_tokens=100))[-1] == "  j: 644,608 calls, 64,460,800 tokens out"


def test_steps_that_a_profile_leaves_out_are_not_counted() -> None:
    steps = step_calls(PAPER1, instructions=780, queries=90_000, **MODELS)
    assert [(step.step, step.stage, step.calls) for step in steps] == [
        ("2 functions", "evolve", 6_240),
        ("7 answers", "respond", 12_480),
    ]


def test_an_instruction_is_asked_with_no_more_queries_than_there_are() -> None:
    steps = step_calls(PAPER1, instructions=10, queries=3, **MODELS)
    assert steps[-1].calls == 30


def test_what_is_known_is_not_multiplied() -> None:
    steps = step_calls(PAPER, instructions=5_036, queries=90_000, pairs=70, **MODELS)
    assert [str(step) for step in steps] == [
        "7 answers: 70 instructions with a query x 8 answers = 560 calls of t",
        "8 quality: 70 instructions with a query x 8 answers = 560 calls of j",
    ]


def test_one_model_does_all_the_work() -> None:
    steps = step_calls(PAPER, instructions=2, queries=1, model="m", teacher="m", judge="m")
    assert by_model(steps) == {"m": 16 + 2 + 16 + 16}
