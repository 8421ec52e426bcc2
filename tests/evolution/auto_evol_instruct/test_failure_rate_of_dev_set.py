"""The failure rate of a method, as a search measures it on its dev set."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from evolvent.models.protocols import Reply, Sampling, Usage
from tests.evolution.auto_evol_instruct.scripted_search import DEV, EVOLVER, Follow, Script, content, optimized


def test_a_row_that_is_not_evolved_is_a_failure_by_default(tmp_path: Path, follow: Follow) -> None:
    """By the letter of the paper the method that loses its format would win."""
    replies = {(1, 1): 2, (1, 2): 1}
    follow(Script(6, replies, unparsed={1: 5}))
    found = content(optimized(tmp_path / "default.yaml", steps=1).file)
    lost = found["steps"][0]["candidates"][1]
    assert lost["failures"] == {"stagnant": 0, "insufficient": 0, "loss": 0, "not evolved": 5, "not answered": 0}
    assert (lost["without_answer"], found["found_by"]) == ([{"rows": 5, "reason": "unparsed"}], "step 1, candidate 1")
    found = content(optimized(tmp_path / "paper.yaml", steps=1, profile="paper").file)
    lost = found["steps"][0]["candidates"][1]
    assert (lost["failure_rate"], lost["apart"]["not evolved"]) == (0, 5)
    assert (lost["failures"], found["found_by"]) == (
        {"stagnant": 0, "insufficient": 0, "loss": 0},
        "step 1, candidate 2",
    )


def test_the_kinds_are_counted_and_what_no_rule_sees_is_set_apart(tmp_path: Path, follow: Follow) -> None:
    answers = {
        5: Reply("", "stop", Usage(10, 0)),
        6: Reply("I am sorry, no.", "stop", Usage(10, 2)),
        7: Reply("It is a long", "length", Usage(10, 2)),
    }
    follow(Script(4, answers=answers))
    found = content(optimized(tmp_path / "m.yaml", steps=1).file)["initial"]
    assert found["failures"] == {"stagnant": 1, "insufficient": 2, "loss": 1, "not evolved": 0, "not answered": 0}
    assert {fate: rows for fate, rows in found["apart"].items() if rows} == {"refused": 1, "empty": 1, "truncated": 1}
    assert found["failure_rate"] == 0.5


def test_a_cut_answer_that_fails_is_a_failure(tmp_path: Path, follow: Follow) -> None:
    cut = Reply("Please provide the sock, the", "length", Usage(10, 2))
    follow(Script(4, answers={4: cut}))
    found = content(optimized(tmp_path / "m.yaml", steps=1).file)["initial"]
    assert (sum(found["failures"].values()), found["apart"]["truncated"]) == (5, 0)


@pytest.mark.parametrize(("profile", "not_evolved"), [("default", 8), ("paper", 0)])
def test_an_unchanged_instruction_is_answered_in_the_paper_s_profile_only(
    tmp_path: Path, follow: Follow, profile: str, not_evolved: int
) -> None:
    script = Script(6, {(1, 1): 1, (1, 2): 2})

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if prompt.startswith("Mend") and "quality" not in prompt:
            return Reply("Take a needle.", "stop")
        said = script(prompt, sampling)
        if prompt.startswith("You are") and "with quality 1." in prompt:
            given = prompt.rsplit("#Instruction#:\n", 1)[1].partition("\n\n#Input#")[0]
            said = replace(said, text=said.text.rpartition(":\n")[0] + f":\n{given}")
        return said

    follow(script)[EVOLVER].reply = reply
    found = content(optimized(tmp_path / "m.yaml", steps=1, profile=profile).file)
    first = found["steps"][0]["candidates"][0]
    fates = {**first["failures"], **first["apart"]}
    assert fates["not evolved"] == not_evolved
    assert first.get("without_answer", []) == [{"rows": 8, "reason": "unchanged"}][: bool(not_evolved)]
    assert found["found_by"] == ("step 1, candidate 1" if profile == "paper" else "step 1, candidate 2")


@pytest.mark.parametrize("failures", [0, 1, 4, 8])
def test_the_interval_is_wilsons(tmp_path: Path, follow: Follow, failures: int) -> None:
    follow(Script(failures, {(1, 1): 0}))
    z, n = 1.959963984540054, DEV
    p = failures / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = content(optimized(tmp_path / "m.yaml", steps=1).file)["initial"]["interval"]
    assert interval == pytest.approx([middle - half, middle + half], abs=6e-5)
