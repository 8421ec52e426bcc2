"""The words of a verdict: each says what the sets and intervals say, and no more."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolvent.ranking.figures import KEPT, RankedBy
from evolvent.ranking.measured import Measured
from evolvent.ranking.order import Order, Standing, order
from evolvent.ranking.result import BaseRanking, Ranked, RankingVerdict, Tried
from evolvent.ranking.verdict import families, flags, sentence, together, verdict_of
from evolvent.report.ranking import _notes, verdicts

SHORT = {name: name for name in "ABCD"}


def standing(name: str, **of: Any) -> Standing:
    first = {"rows": 60, "value": 1.0, "low": 0.9, "high": 1.1, "behind": 0.0, "behind_low": 0.0, "behind_high": 0.0}
    return Standing(candidate=name, **{**first, "in_set": True, "p": 1.0, "best": 0.5, "regret": 0.0, **of})


def by(figure: str, best: str, worse: str = "", lacking: str = "") -> Order:
    """An order that a figure gives: who may be the best, who is ruled out, who has none."""
    out = {"in_set": False, "behind": 1.0, "behind_low": 0.5, "behind_high": 1.5}
    standings = [*(standing(name) for name in best), *(standing(name, **out) for name in worse)]
    return Order(figure, False, standings, dict.fromkeys(lacking, "no reply"), 60, 0.1, None, {})


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ([by("x", "AB")], "by the only figure, x: A and B cannot be told apart"),
        ([by("x", "A", "B")], "by the only figure, x: A is the best"),
        ([by("x", "A", "BC"), by("y", "A", "BC")], "by all 2 figures: A is the best"),
        ([by("x", "AB"), by("y", "AB")], "by all 2 figures: A and B cannot be told apart"),
        ([by("x", "AB", "C"), by("y", "ABC")], "no figure rules out A and B; C is ruled out"),
        ([by("x", "AB", "CD"), by("y", "A", "BCD")], "no figure rules out A; B, C and D are ruled out"),
        (
            [by("x", "A", "B"), by("y", "B", "A")],
            "the figures contradict each other: each candidate is ruled out by one of them",
        ),
        (
            [by("x", "A", "BC"), by("y", "BC", lacking="A")],
            "no figure rules out A, but it lacks one; B and C are ruled out",
        ),
        (
            [by("x", "AB", "C"), by("y", "BC", lacking="A")],
            "no figure rules out B; C is ruled out; A cannot be judged so, for lack of a figure",
        ),
        (
            [by("x", "AB", lacking="CD"), by("y", "CD", lacking="AB")],
            "no figure rules out A, B, C and D, but each lacks one",
        ),
    ],
)
def test_what_all_figures_say_together(orders: list[Order], words: str) -> None:
    assert together(orders, SHORT) == words


def test_a_program_has_the_names_of_those_that_are_left() -> None:
    tasks = [replace(by("trial:t", "BC", "A"), students=3), replace(by("trial:u", "AB", "C"), students=3)]
    found = verdict_of([by("x", "AB", "C"), by("y", "ABC"), *tasks], SHORT, trial=True)
    assert (found.left, found.left_by_trial) == (["A", "B"], ["B"])
    assert (list(found.by_figure), list(found.by_task)) == (["x", "y"], ["trial:t", "trial:u"])
    assert found.lines == [*found.by_figure.values(), found.together, *found.by_task.values(), "the trial decides: B"]
    alone = verdict_of([by("x", "A")], SHORT, trial=False)
    assert (alone.left, alone.left_by_trial, alone.decided) == (None, None, None)
    assert verdict_of([by("x", "A", "B"), by("y", "B", "A")], SHORT, trial=False).left == []


def test_a_difference_whose_interval_holds_0_is_no_proof_against_a_candidate() -> None:
    out = standing("C", in_set=False, behind=1.7, behind_low=-0.464, behind_high=4.05)
    found = sentence(Order("x", False, [standing("A"), standing("B"), out], {}, 60, 0.1, None, {}), SHORT)
    assert found == (
        "x: A and B cannot be told apart (n = 60 seeds); C is worse than another one (behind A by 1.7 [-0.464, 4.05])"
    )


def test_candidates_that_lack_rows_of_some_seeds_are_not_said_to_have_all() -> None:
    found = sentence(Order("x", False, [standing("A"), standing("B", rows=30)], {}, 60, 0.1, None, {}), SHORT)
    assert found == "x: A and B cannot be told apart (n = 60 seeds, 30 to 60 rows each)"


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("hf:openai/gpt-oss-20b", "openai:gpt-4o?base_url=http://x/v1", set()),
        ("hf:/m/teacher-0.00", "hf:/m/teacher-a", set()),
        ("hf:m/base-7b", "hf:/runs/base", set()),
        ("hf:deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "gguf:/m/qwen2.gguf", {"qwen"}),
        ("hf:codellama/CodeLlama-7b", "hf:meta-llama/Meta-Llama-3-8B", {"llama"}),
        ("hf:Qwen/QwQ-32B", "hf:Qwen/Qwen2.5-7B", {"qwen"}),
        ("smollm2", "hf:HuggingFaceTB/SmolLM2-135M", {"smollm"}),
        ("embedded", "embedded-base-sums", {"embedded"}),
        ("hf:microsoft/phi-4", "hf:x/dolphin-7b", set()),
    ],
)
def test_families_by_their_names(one: str, other: str, shared: set[str]) -> None:
    assert families(one) & families(other) == shared


def measured(scores: dict[str, np.ndarray], kept: list[int]) -> Measured:
    rows = len(kept) * 20
    return Measured(["embedded", "B"], np.repeat(np.arange(2), 20), np.arange(rows) % 20, scores, kept)


def test_a_family_matters_where_likelihood_counts() -> None:
    found = measured({"ifd": np.linspace(0, 1, 40), KEPT: np.tile([0.0, 1.0], 20)}, [200, 200])
    ordered = {name: order(found, RankedBy(name, (name,), lambda mean: mean), draws=100) for name in (KEPT, "ifd")}
    short = {"embedded": "embedded", "B": "B"}
    assert not list(flags(found, [ordered[KEPT]], "embedded-base", {}, short))
    [flag] = flags(found, list(ordered.values()), "embedded-base", {}, short)
    assert flag.startswith("embedded is of the base model's family, embedded:")


def test_a_candidate_without_lengths_is_no_warning() -> None:
    lengths = np.concatenate([np.full(20, np.nan), np.linspace(5, 9, 20)])
    found = measured({"response_tokens": lengths}, [200, 200])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not list(flags(found, [by("x", "AB")], "hf:other", {}, SHORT))


def ranked(*orders: Sequence[Order], trial: bool = False) -> Ranked:
    tried = Tried(40, {}, {}, {}) if trial else None
    rankings = [BaseRanking(f"base {n}", one, RankingVerdict(), [], tried) for n, one in enumerate(orders)]
    return Ranked(Path("run"), Path("run/plan.json"), {}, {}, rankings, {}, {})


def test_base_models_differ_only_where_both_have_an_order() -> None:
    assert "no candidate may be" in "".join(verdicts(ranked([by("x", "A", "B")], [by("x", "B", "A")])))
    assert "no candidate may be" not in "".join(verdicts(ranked([by("x", "AB")], [by("x", "", lacking="AB")])))
    assert "no candidate may be" not in "".join(verdicts(ranked([by("x", "A")], [by("x", "B")])))


def test_a_trial_that_compares_nobody_decides_nothing() -> None:
    of_trial = replace(by("trial:t", "", lacking="AB"), students=3)
    assert list(verdicts(ranked([of_trial], trial=True)))[-1].endswith("shortlist, and the trial decides nothing")
    assert list(verdicts(ranked([replace(by("trial:t", "AB"), students=3)], trial=True)))[-1].endswith(
        "shortlist, the trial decides"
    )


def test_what_a_trial_draws_are_items() -> None:
    order = replace(by("trial:t", "AB"), students=3, stable={10: 0.5})
    assert "of smaller samples of items the same" in next(_notes(order, SHORT))
    assert next(_notes(replace(order, detectable=0.0), SHORT)).endswith("the same on every item")
