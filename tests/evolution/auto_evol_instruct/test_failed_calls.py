"""Calls of a search that fail for good: what they count as, what stays decided, and what is asked again."""

import re
from pathlib import Path

import pytest

from evolvent.errors import BudgetReachedError, CallError, RunError
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.models.protocols import Reply, Sampling
from tests.evolution.auto_evol_instruct.scripted_search import (
    BATCH,
    CANDIDATES,
    DEV,
    EVOLVER,
    OPTIMIZER,
    Follow,
    Killed,
    Script,
    asked,
    command,
    content,
    fenced,
    optimized,
)


def test_calls_that_fail_for_good(tmp_path: Path, follow: Follow) -> None:
    script = Script(1, {(1, 1): 0, (1, 2): 2})

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if "with quality 0." in prompt and "#Instruction#" not in prompt:
            raise CallError("server said no")
        if prompt.startswith("Feedback:") and script.whose[sampling.seed or 0] == (1, 3):
            raise CallError("too long")
        return script(prompt, sampling)

    opened = follow(script)
    opened[EVOLVER].reply = opened[OPTIMIZER].reply = reply
    done = optimized(tmp_path / "m.yaml", steps=1)
    found = content(done.file)
    first, _, last = found["steps"][0]["candidates"]
    assert first["invalid"] == "none of the dev set came to an answer"
    assert first["failures"]["not answered"] == done.counts["rows of evaluations with a failed call"] == 8
    assert first["without_answer"] == [{"rows": 8, "reason": "call failed: server said no"}]
    assert last["invalid"] == "its calls failed: too long"
    assert found["stopped"] == "no candidate of step 1 has a lower failure rate"


@pytest.mark.parametrize(
    ("begins", "words"),
    [
        ("Mend", r"no answer in all 8 rows of the dev set \(call failed: server said no: 8\)"),
        ("The cases", "every call for a candidate of step 1 failed; the first: server said no"),
        ("Feedback", "every call for a candidate of step 1 failed; the first: server said no"),
        ("You are .*quality 0", "every call to evaluate a candidate of step 1 failed; the first: server said no"),
    ],
)
def test_where_every_call_fails_the_run_ends_and_can_be_gone_on_with(
    tmp_path: Path, follow: Follow, begins: str, words: str
) -> None:
    script = Script(6, {(1, candidate): 0 for candidate in (1, 2, 3)})

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if re.match(begins, prompt):
            raise CallError("server said no")
        return script(prompt, sampling)

    opened = follow(script)
    opened[EVOLVER].reply = opened[OPTIMIZER].reply = reply
    with pytest.raises(RunError, match=words):
        optimized(tmp_path / "m.yaml")
    follow(script)
    assert content(optimized(tmp_path / "m.yaml").file)["failure_rate"] == 0


def test_where_every_call_of_a_mini_batch_fails(tmp_path: Path, follow: Follow) -> None:
    script = Script(6, {(1, 1): 0})

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if script.place_of(prompt) is None and prompt.startswith("You are"):
            raise CallError("server said no")
        return script(prompt, sampling)

    opened = follow(script)
    opened[EVOLVER].reply = reply
    with pytest.raises(RunError, match="every call of step 1's mini-batch failed; the first: server said no"):
        optimized(tmp_path / "m.yaml")


def test_what_was_decided_stays_although_calls_that_failed_would_now_succeed(tmp_path: Path, follow: Follow) -> None:
    """Two time-outs in step 1, a budget reached in step 2."""
    script = Script(6, {(1, 1): 3, (1, 2): 4, (2, 1): 2})
    timed_out: list[str] = []

    def reply(prompt: str, sampling: Sampling) -> Reply:
        evolving, place = "#Instruction#" in prompt, script.place_of(prompt)
        of_step_1 = "quality 3." in prompt and not evolving and place in (5, 6)
        of_step_2 = "quality 4." in prompt and evolving and place is None and len(timed_out) == 2
        if of_step_1 or of_step_2:
            timed_out.append(prompt)
            raise CallError("time-out", fix="Look at the server.")
        return script(prompt, sampling)

    follow(script)[EVOLVER].reply = reply
    price = {"price": "1000,1000", "concurrency": 1}  # 0.012 a call
    calls_of_step_1 = 2 * DEV + BATCH + 2 * CANDIDATES + CANDIDATES * 2 * DEV - 2
    with pytest.raises(BudgetReachedError):
        optimized(tmp_path / "m.yaml", steps=2, budget=0.012 * (calls_of_step_1 + BATCH + 2), **price)
    before = content(tmp_path / "m.yaml")
    assert (len(timed_out), before["steps"][0]["chosen"]) == (3, "candidate 2")
    assert before["steps"][0]["candidates"][0]["failure_rate"] == 5 / 8

    opened = follow(script)
    found = content(optimized(tmp_path / "m.yaml", steps=2, budget=100.0, **price).file)
    assert found["steps"][0] == before["steps"][0]
    assert found["initial"] == before["initial"]
    assert (found["found_by"], found["failure_rate"]) == ("step 2, candidate 1", 2 / 8)
    again = [prompt for prompt, _ in opened[EVOLVER].asked]
    assert set(again) & set(timed_out) == {timed_out[2]}  # what failed in the undecided step
    assert found["steps"][1]["evolutions"] == {"ok": BATCH}
    assert not any("quality 3." in prompt for prompt in again)
    assert {script.whose[sampling.seed or 0][0] for _, sampling in opened[OPTIMIZER].asked} == {2}


def test_a_call_that_failed_in_one_step_is_not_made_again_in_another(tmp_path: Path, follow: Follow) -> None:
    """The initial method comes back as a candidate; if its failed call were made now, step 1 would choose otherwise."""
    script = Script(6, {(1, 1): 6, (2, 1): fenced(initial_method().text), (2, 2): 5})
    failed: list[str] = []

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if "#Instruction#" in prompt and "quality" not in prompt and script.place_of(prompt) == 7 and not failed:
            failed.append(prompt)
            raise CallError("time-out")
        if "quality 5." in prompt and "#Instruction#" in prompt:
            raise Killed
        return script(prompt, sampling)

    opened = follow(script)
    opened[EVOLVER].reply = reply
    with pytest.raises(Killed):
        optimized(tmp_path / "m.yaml", steps=2, concurrency=1)
    opened = follow(script)
    found = content(optimized(tmp_path / "m.yaml", steps=2).file)
    assert [step["chosen"] for step in found["steps"]] == ["candidate 1", "candidate 2"]
    assert found["steps"][1]["candidates"][0]["failure_rate"] == found["initial"]["failure_rate"] == 7 / 8
    assert not set(failed) & {prompt for prompt, _ in opened[EVOLVER].asked}


def test_fresh_asks_again_what_failed_also_where_it_is_stopped(tmp_path: Path, follow: Follow) -> None:
    script = Script(6, {(1, 1): 3, (1, 2): 4})

    def reply(prompt: str, sampling: Sampling) -> Reply:
        of_step_1 = "quality 3." in prompt and "#Instruction#" not in prompt and script.place_of(prompt) in (5, 6)
        if of_step_1 or ("quality" not in prompt and script.place_of(prompt) == 7):
            raise CallError("time-out")
        return script(prompt, sampling)

    def killed(*_: object) -> Reply:
        raise Killed

    follow(script)[EVOLVER].reply = reply
    assert content(optimized(tmp_path / "m.yaml", steps=1).file)["found_by"] == "step 1, candidate 2"
    follow(script)[EVOLVER].reply = killed
    with pytest.raises(Killed):
        optimized(tmp_path / "m.yaml", steps=1, fresh=True)
    assert content(tmp_path / "m.yaml")["found_by"] == "step 1, candidate 2"
    opened = follow(script)
    found = content(optimized(tmp_path / "m.yaml", steps=1).file)
    assert (found["found_by"], found["initial"]["failure_rate"]) == ("step 1, candidate 1", 6 / 8)
    assert asked(opened) == 2 + 2  # the evolution, and then its answer


def test_the_command_says_which_calls_failed(tmp_path: Path, follow: Follow) -> None:
    script = Script(6, {(1, 1): 5, (1, 2): 3})

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if "quality 5." in prompt and "#Instruction#" not in prompt and script.place_of(prompt) in (6, 7):
            raise CallError("time-out")
        if prompt.startswith("Feedback:") and script.whose[sampling.seed or 0] == (1, 3):
            raise CallError("time-out")
        return script(prompt, sampling)

    opened = follow(script)
    opened[EVOLVER].reply = opened[OPTIMIZER].reply = reply
    for _ in range(2):  # also where there is nothing to do any more
        ended = command(tmp_path, "--steps", "1")
        assert ended.exit_code == 0
        assert [line for line in ended.stderr.splitlines() if line.startswith("warning")] == [
            "warning: optimize-method: calls failed for good, 2 rows of evaluations lack one: step 1, candidate 1 "
            "(2 of the dev set's rows), step 1, candidate 3 (it was not proposed); --fresh asks for them again"
        ]
    initial, step = (content(tmp_path / "m.yaml")[key] for key in ("initial", "steps"))
    assert "rows_with_a_failed_call" not in initial
    assert step[0]["candidates"][0]["rows_with_a_failed_call"] == 2
