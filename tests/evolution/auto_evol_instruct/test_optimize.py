"""The search as a stage: what it accepts, how it ties and when it stops; stopped, gone on with, paid for."""

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evolvent.calls.log import calls, spent_in
from evolvent.calls.seeds import call_seed
from evolvent.cli import app
from evolvent.errors import BudgetReachedError, CallError, InputError, ModelUnavailableError, RunError
from evolvent.evolution.auto_evol_instruct import optimize
from evolvent.evolution.auto_evol_instruct.history import read_method, write_history
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.evolution.auto_evol_instruct.optimize import drawn
from evolvent.evolution.auto_evol_instruct.search import STAGE, Found, calls_at_most, drawn_batch
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.runs.inputs import stage_input
from evolvent.runs.manifest import read_manifest
from tests.evolution.auto_evol_instruct.scripted_search import (
    BATCH,
    CANDIDATES,
    DEV,
    EVOLVER,
    OPTIMIZER,
    OTHER,
    SEEDS,
    Script,
    asked,
    content,
    fenced,
    method,
    models,
    optimized,
)
from tests.scripted import Opened

Follow = Callable[[Script], Opened]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    def open_with(script: Script) -> Opened:
        opened = models(script)
        monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
        return opened

    return open_with


# What is accepted, ties, and when the search stops


def test_the_lowest_rate_wins_and_a_tie_goes_to_the_earlier_candidate(tmp_path: Path, follow: Follow) -> None:
    other = method(3).replace("Reply strictly", "Reply quite strictly")
    follow(Script(6, {(1, 1): 5, (1, 2): 3, (1, 3): fenced(other)}))
    found = content(optimized(tmp_path / "m.yaml", steps=1).output)
    assert (found["method"], found["found_by"], found["failure_rate"]) == (method(3), "step 1, candidate 2", 3 / 8)
    assert [one["failure_rate"] for one in found["steps"][0]["candidates"]] == [5 / 8, 3 / 8, 3 / 8]
    assert found["steps"][0]["chosen"] == "candidate 2"
    assert found["stopped"] == "all 1 steps are done"


def test_a_tie_with_the_current_method_goes_to_it_and_ends_the_search(tmp_path: Path, follow: Follow) -> None:
    other = method(4).replace("Reply strictly", "Reply quite strictly")
    follow(Script(6, {(1, 3): 4, (2, 1): fenced(other), (2, 2): 5, (2, 3): 8}))
    found = content(optimized(tmp_path / "m.yaml").output)
    assert (found["method"], found["found_by"]) == (method(4), "step 1, candidate 3")
    assert found["stopped"] == "no candidate of step 2 has a lower failure rate"
    assert found["steps"][1]["chosen"] == "the method before this step"
    assert len(found["steps"]) == 2


def test_the_search_begins_a_step_with_what_the_step_before_it_chose(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 5, (2, 2): 4, (3, 3): 2}))
    found = content(optimized(tmp_path / "m.yaml", steps=3).output)
    assert [step["chosen"] for step in found["steps"]] == ["candidate 1", "candidate 2", "candidate 3"]
    assert found["stopped"] == "all 3 steps are done"
    mended = [prompt for prompt, _ in opened[OPTIMIZER].asked if prompt.startswith("Feedback:")]
    assert [[quality for quality in range(9) if method(quality) in prompt] for prompt in mended] == (
        [[]] * 3 + [[5]] * 3 + [[4]] * 3
    )
    assert all(initial_method().text in prompt for prompt in mended[:3])


def test_at_rate_0_the_search_stops(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 2): 0}))
    found = content(optimized(tmp_path / "m.yaml").output)
    assert (found["method"], found["failure_rate"]) == (method(0), 0)
    assert (found["stopped"], len(found["steps"])) == ("the failure rate is 0", 1)


def test_with_an_initial_method_that_never_fails_there_is_no_step(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(0))
    found = content(optimized(tmp_path / "m.yaml").output)
    assert (found["method"], found["found_by"]) == (initial_method().text, "the initial method")
    assert (found["stopped"], found["steps"]) == ("the failure rate is 0", [])
    assert (len(opened[EVOLVER].asked), len(opened[OPTIMIZER].asked)) == (2 * DEV, 0)


INVALID = {
    "it has lost the slot {instruction}": fenced(method(0).replace("{instruction}", "the instruction")),
    "it is not in a fence that begins with ```Optimized Method": method(0),
    "it has lost the headings of its steps": fenced("Make it harder.\n\n{instruction}"),
}


def test_invalid_candidates_are_counted_with_the_reason_and_never_used(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, dict(zip([(1, 1), (1, 2), (1, 3)], INVALID.values(), strict=True))))
    run = optimized(tmp_path / "m.yaml")
    found = content(run.output)
    assert [one["invalid"] for one in found["steps"][0]["candidates"]] == list(INVALID)
    assert [one["reply"] for one in found["steps"][0]["candidates"]] == [reply.strip() for reply in INVALID.values()]
    assert not any("failure_rate" in one or "method" in one for one in found["steps"][0]["candidates"])
    assert (found["stopped"], found["method"]) == ("step 1 has no usable candidate", initial_method().text)
    assert (run.counts["candidates"], run.counts["invalid candidates"]) == (3, 3)
    assert len(opened[EVOLVER].asked) == 2 * DEV + BATCH


def test_equal_candidates_are_evaluated_once(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): fenced(initial_method().text), (1, 2): 4, (1, 3): fenced(f"\n{method(4)}  \n")}))
    run = optimized(tmp_path / "m.yaml", steps=1)
    candidates = content(run.output)["steps"][0]["candidates"]
    assert [one.get("same_as") for one in candidates] == ["the current method", None, "candidate 2"]
    assert ["failure_rate" in one for one in candidates] == [False, True, False]
    assert run.counts["equal candidates"] == 2
    assert len(opened[EVOLVER].asked) == 2 * DEV + BATCH + 2 * DEV


def test_a_candidate_that_gets_no_answer_is_never_chosen(tmp_path: Path, follow: Follow) -> None:
    script = Script(6, {(1, 1): 0, (1, 2): 5}, unparsed={0: DEV})
    follow(script)
    found = content(optimized(tmp_path / "m.yaml", profile="paper", steps=1).output)
    assert found["steps"][0]["candidates"][0]["invalid"] == "none of the dev set came to an answer"
    assert found["found_by"] == "step 1, candidate 2"


# The failure rate


def test_a_row_that_is_not_evolved_is_a_failure_by_default(tmp_path: Path, follow: Follow) -> None:
    """By the letter of the paper the method that loses its format would win."""
    replies = {(1, 1): 2, (1, 2): 1}
    follow(Script(6, replies, unparsed={1: 5}))
    found = content(optimized(tmp_path / "default.yaml", steps=1).output)
    lost = found["steps"][0]["candidates"][1]
    assert lost["failures"] == {"stagnant": 0, "insufficient": 0, "loss": 0, "not evolved": 5, "not answered": 0}
    assert (lost["without_answer"], found["found_by"]) == ([{"rows": 5, "reason": "unparsed"}], "step 1, candidate 1")
    found = content(optimized(tmp_path / "paper.yaml", steps=1, profile="paper").output)
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
    found = content(optimized(tmp_path / "m.yaml", steps=1).output)["initial"]
    assert found["failures"] == {"stagnant": 1, "insufficient": 2, "loss": 1, "not evolved": 0, "not answered": 0}
    assert found["apart"] == {"filtered": 0, "refused": 1, "empty": 1, "truncated": 1}
    assert found["failure_rate"] == 0.5


def test_a_cut_answer_that_fails_is_a_failure(tmp_path: Path, follow: Follow) -> None:
    cut = Reply("Please provide the sock, the", "length", Usage(10, 2))
    follow(Script(4, answers={4: cut}))
    found = content(optimized(tmp_path / "m.yaml", steps=1).output)["initial"]
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
    found = content(optimized(tmp_path / "m.yaml", steps=1, profile=profile).output)
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
    interval = content(optimized(tmp_path / "m.yaml", steps=1).output)["initial"]["interval"]
    assert interval == pytest.approx([middle - half, middle + half], abs=6e-5)


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
    run = optimized(tmp_path / "m.yaml", steps=1)
    found = content(run.output)
    first, _, last = found["steps"][0]["candidates"]
    assert first["invalid"] == "none of the dev set came to an answer"
    assert first["failures"]["not answered"] == run.counts["rows of evaluations with a failed call"] == 8
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
    assert content(optimized(tmp_path / "m.yaml").output)["failure_rate"] == 0


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


# What is asked


def test_the_calls_of_a_search(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, dict(zip(itertools.product((1, 2), (1, 2, 3)), (5, 7, 8, 4, 2, 1), strict=True))))
    run = optimized(tmp_path / "m.yaml", steps=2, rounds=2)
    assert len(opened[EVOLVER].asked) == 2 * DEV + 2 * (2 * BATCH + 3 * 2 * DEV)
    assert len(opened[OPTIMIZER].asked) == 2 * 3 * 2
    used = content(run.output)["used"]
    assert {uri: one["calls"] for uri, one in used.items()} == {
        EVOLVER: len(opened[EVOLVER].asked),
        OPTIMIZER: len(opened[OPTIMIZER].asked),
    }
    assert read_manifest(run.path)["optimize-method"].used[EVOLVER]["calls"] == len(opened[EVOLVER].asked)


def test_how_models_are_asked(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml", system="Be terse.")
    assert {(one.temperature, one.max_tokens) for _, one in opened[EVOLVER].asked} == {(0.0, 2048)}
    assert {(one.temperature, one.top_p) for _, one in opened[OPTIMIZER].asked} == {(0.6, 0.95)}
    assert len({one.seed for _, one in opened[OPTIMIZER].asked}) == 6
    evolving = [turns for turns in opened[EVOLVER].conversations if "#Instruction#" in turns[-1]["content"]]
    answering = [turns for turns in opened[EVOLVER].conversations if "#Instruction#" not in turns[-1]["content"]]
    assert {turns[0]["content"] for turns in evolving} == {"Be terse."}
    assert {len(turns) for turns in answering} == {1}
    # as a teacher is asked: the instruction, and its input on the next line
    inputs = {turns[0]["content"].partition("\n")[2] for turns in answering}
    assert inputs == {"", "wool"}
    # Shown to the analysis: numbered cases, and no inputs.
    shown = next(prompt for prompt, _ in opened[OPTIMIZER].asked if prompt.startswith("The cases"))
    assert [line for line in shown.splitlines() if line.startswith("Case ")][:3] == ["Case 1", "Case 2", "Case 3"]
    assert shown.count("Stage 0: Mend sock number") == shown.count("Do it with quality 6.") == BATCH
    assert "wool" not in shown


def test_the_dev_set_and_the_mini_batches() -> None:
    source = stage_input(SEEDS, before=None)
    dev, pool = drawn(source, DEV, 2000, BATCH, 0)
    assert sorted(row.seed_index for row in [*dev, *pool]) == list(range(40))
    assert drawn(source, DEV, 2000, BATCH, 0) == (dev, pool) != drawn(source, DEV, 2000, BATCH, 1)
    small_dev, small_pool = drawn(source, DEV, 15, BATCH, 0)
    assert (small_dev, len(small_pool)) == (dev, 15 - DEV)
    batches = [drawn_batch(step, pool, BATCH, 0) for step in range(1, 11)]
    assert all(len({row.id for row in batch}) == BATCH for batch in batches)
    assert len({tuple(row.id for row in batch) for batch in batches}) > 5


def test_a_conversation_is_asked_with_its_system_turn(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    rows = tmp_path / "rows.jsonl"
    turns = [
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": seed["instruction"]}] for seed in SEEDS
    ]
    rows.write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    from evolvent.evolution.auto_evol_instruct.optimize import optimize_method

    optimize_method(
        rows, evolver=EVOLVER, optimizer=OPTIMIZER, out=tmp_path / "m.yaml", dev=DEV, batch=BATCH, candidates=1
    )
    answering = [turns for turns in opened[EVOLVER].conversations if "#Instruction#" not in turns[-1]["content"]]
    assert {turns[0]["content"] for turns in answering} == {"Be kind."}


# Stopped and gone on with

SEARCH: dict[tuple[int, int], int | str] = {
    (1, 1): 5,
    (1, 2): "no fence",
    (1, 3): 4,
    (2, 1): 4,
    (2, 2): 3,
    (2, 3): fenced("lost"),
    (3, 1): 3,
}


class Killed(BaseException):
    """Ends a run as nothing that it expects would."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a search that was left alone."""
    opened = models(Script(6, SEARCH))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_models, "open_chat", opened.open_chat)
        return optimized(tmp_path_factory.mktemp("undisturbed") / "m.yaml").path


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(st.integers(0, 110), min_size=1, max_size=3),
    concurrency=st.integers(1, 5),
    error=st.sampled_from([ModelUnavailableError("gone"), KeyError("a fault of ours"), Killed()]),
)
def test_however_often_it_is_stopped_the_file_is_the_same_and_no_call_is_made_twice(
    tmp_path_factory: pytest.TempPathFactory,
    follow: Follow,
    undisturbed: Path,
    stops: list[int],
    concurrency: int,
    error: BaseException,
) -> None:
    folder = tmp_path_factory.mktemp("stopped")
    script = Script(6, SEARCH)
    answered: list[tuple[str, int | None]] = []
    for stop in [*stops, None]:
        left = itertools.count()

        def reply(prompt: str, sampling: Sampling, left: Any = left, stop: Any = stop) -> Reply:
            if stop is not None and next(left) >= stop:
                raise error
            answered.append((prompt, sampling.seed))
            return script(prompt, sampling)

        opened = follow(script)
        opened[EVOLVER].reply = opened[OPTIMIZER].reply = reply
        try:
            optimized(folder / "m.yaml", concurrency=concurrency)
        except type(error):
            if (folder / "m.yaml").exists():
                assert content(folder / "m.yaml")["state"] == "unfinished"
                read_method(folder / "m.yaml")
    assert (folder / "m.yaml").read_bytes() == (undisturbed / "method.yaml").read_bytes()
    assert (folder / "m.run" / "method.yaml").read_bytes() == (undisturbed / "method.yaml").read_bytes()
    distinct = sum(use.calls for use in spent_in(undisturbed))
    assert len(set(answered)) == distinct
    # what is answered while the run ends may be asked again: the calls in flight, and no other
    assert len(answered) <= distinct + len(stops) * max(concurrency, 3)


def test_a_finished_search_has_nothing_to_do(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, SEARCH))
    run = optimized(tmp_path / "m.yaml")
    before = run.output.read_bytes()
    count = asked(opened)
    again = optimized(tmp_path / "m.yaml")
    assert (again.already_done, again.output, again.counts) == (True, tmp_path / "m.yaml", run.counts)
    run.output.write_text("# notes of mine\n" + before.decode())
    assert optimized(tmp_path / "m.yaml").already_done
    assert run.output.read_text().startswith("# notes of mine")
    run.output.unlink()
    assert optimized(tmp_path / "m.yaml").already_done
    assert run.output.read_bytes() == before
    assert asked(opened) == count


def test_calls_can_be_looked_up_by_step_and_candidate(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, SEARCH))
    run = optimized(tmp_path / "m.yaml")
    assert len(list(calls(run.path, record="step-1/candidate-1"))) == 2 + 2 * DEV
    assert len(list(calls(run.path, record="step-1/candidate-2"))) == 2
    assert len(list(calls(run.path, record="step-2/batch"))) == BATCH
    assert len(list(calls(run.path, record="initial"))) == 2 * DEV


def test_a_budget_stops_the_search_which_goes_on_with_a_higher_one(
    tmp_path: Path, follow: Follow, undisturbed: Path
) -> None:
    follow(Script(6, SEARCH))
    prices = {"price": "1000,1000", "concurrency": 1}
    with pytest.raises(BudgetReachedError) as reached:
        optimized(tmp_path / "m.yaml", budget=0.8, **prices)
    assert reached.value.exit_status == 3
    found = content(tmp_path / "m.yaml")
    assert (found["state"], found["stopped"], len(found["steps"])) == ("unfinished", None, 1)
    assert read_method(tmp_path / "m.yaml").text == method(4)
    run = optimized(tmp_path / "m.yaml", budget=100.0, **prices)
    assert run.output.read_bytes() == (undisturbed / "method.yaml").read_bytes()


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
    found = content(optimized(tmp_path / "m.yaml", steps=2, budget=100.0, **price).output)
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
    found = content(optimized(tmp_path / "m.yaml", steps=2).output)
    assert [step["chosen"] for step in found["steps"]] == ["candidate 1", "candidate 2"]
    assert found["steps"][1]["candidates"][0]["failure_rate"] == found["initial"]["failure_rate"] == 7 / 8
    assert not set(failed) & {prompt for prompt, _ in opened[EVOLVER].asked}


def test_the_file_does_not_go_back_when_a_search_is_gone_on_with(
    tmp_path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch, undisturbed: Path
) -> None:
    script = Script(6, SEARCH)

    def reply(prompt: str, sampling: Sampling) -> Reply:
        if prompt.startswith("Feedback:") and script.whose[sampling.seed or 0] == (3, 1):
            raise Killed
        return script(prompt, sampling)

    follow(script)[OPTIMIZER].reply = reply
    with pytest.raises(Killed):
        optimized(tmp_path / "m.yaml")
    assert len(content(tmp_path / "m.yaml")["steps"]) == 2
    (tmp_path / "m.yaml").unlink()  # as if it was killed between its two files
    written: list[int] = []

    def write(found: Found, *how_and_paths: Any) -> None:
        written.append(len(found.steps))
        write_history(found, *how_and_paths)

    monkeypatch.setattr(optimize, "write_history", write)
    follow(script)
    optimized(tmp_path / "m.yaml")
    assert written == [2, 3]
    assert (tmp_path / "m.yaml").read_bytes() == (undisturbed / "method.yaml").read_bytes()


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
    assert content(optimized(tmp_path / "m.yaml", steps=1).output)["found_by"] == "step 1, candidate 2"
    follow(script)[EVOLVER].reply = killed
    with pytest.raises(Killed):
        optimized(tmp_path / "m.yaml", steps=1, fresh=True)
    assert content(tmp_path / "m.yaml")["found_by"] == "step 1, candidate 2"
    opened = follow(script)
    found = content(optimized(tmp_path / "m.yaml", steps=1).output)
    assert (found["found_by"], found["initial"]["failure_rate"]) == ("step 1, candidate 1", 6 / 8)
    assert asked(opened) == 2 + 2  # the evolution, and then its answer


def test_a_copy_that_the_search_did_not_write(tmp_path: Path, follow: Follow) -> None:
    def killed(*_: object) -> Reply:
        raise Killed

    script = Script(6, SEARCH)
    follow(script)[OPTIMIZER].reply = killed
    with pytest.raises(Killed):
        optimized(tmp_path / "m.yaml")
    for text in ("steps: 3", "- 1", "a: [", "", "a: " + "[" * 100_000):
        (tmp_path / "m.run" / "method.yaml").write_text(text)
        with pytest.raises(InputError, match=r"method.yaml(?s:.*)remove it, and start the same command with --fresh"):
            optimized(tmp_path / "m.yaml")
    (tmp_path / "m.run" / "method.yaml").unlink()
    follow(script)
    assert len(content(optimized(tmp_path / "m.yaml", fresh=True).output)["steps"]) == 3


def test_an_evolving_method_is_no_table_of_records(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    run = optimized(tmp_path / "m.yaml")
    with pytest.raises(InputError, match=r"m\.yaml holds no records: it is an evolving method\nRead .*read_method"):
        iter(run)


# The command


def command(tmp_path: Path, *options: str) -> Result:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    sizes = ["--dev", str(DEV), "--batch", str(BATCH), "--candidates", str(CANDIDATES)]
    models = ["--evolver", EVOLVER, "--optimizer", OPTIMIZER]
    return CliRunner().invoke(
        app, ["optimize-method", str(seeds), *models, *sizes, "--out", str(tmp_path / "m.yaml"), *options]
    )


def test_the_command_shows_a_finished_search_whose_file_was_edited(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    first = command(tmp_path)
    assert (first.exit_code, "warning" in first.stderr) == (0, False)
    (tmp_path / "m.yaml").write_text("method: |\n  " + method(4).replace("\n", "\n  "))
    again = command(tmp_path)
    assert (again.exit_code, again.stderr) == (0, "")
    assert "nothing to do" in again.stdout
    first_table, again_table = (run.stdout.partition("optimize-method: the steps")[2] for run in (first, again))
    assert "candidate 1" in first_table
    assert first_table == again_table
    assert read_method(tmp_path / "m.yaml").text == method(4)


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


def test_a_dry_run_says_the_most_and_writes_nothing(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script())
    estimate = optimized(tmp_path / "m.yaml", dry_run=True, rounds=2, steps=4, price="1,2").estimate
    assert estimate is not None
    notes = estimate.notes()
    assert notes[0] == "optimize-method, planned; nothing was called"
    assert notes[1].startswith(f"at most {2 * DEV + 4 * (2 * BATCH + 3 * 2 + 3 * 2 * DEV)} calls: 2 dev + steps (batch")
    assert notes[2].startswith(f"  evolver {2 * DEV + 4 * (2 * BATCH + 3 * 2 * DEV)}: ")
    assert notes[3].startswith(f"  optimizer {4 * 3 * 2}: ")
    assert asked(opened) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_search_makes_no_more_calls_than_a_dry_run_says(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, dict(zip(itertools.product((1, 2), (1, 2, 3)), (5, 7, 8, 4, 2, 1), strict=True))))
    optimized(tmp_path / "m.yaml", steps=2, rounds=2)
    most = calls_at_most(steps=2, candidates=CANDIDATES, batch=BATCH, rounds=2, dev=DEV)
    assert (len(opened[EVOLVER].asked), len(opened[OPTIMIZER].asked)) == most  # all steps, candidates all different


def test_the_paper_s_numbers() -> None:
    """10 steps of 5 candidates: the 510 calls a step that the paper's cost table counts, and what it leaves out."""
    assert calls_at_most(steps=10, candidates=5, batch=10, rounds=1, dev=50) == (100 + 10 * 510, 100)


BOUND: dict[str, Any] = {
    "evolver": OTHER,
    "optimizer": OTHER,
    "profile": "paper",
    "steps": 2,
    "candidates": 2,
    "batch": 2,
    "rounds": 2,
    "dev": 7,
    "pool": 20,
    "system": "Be terse.",
    "seed": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "optimizer_temperature": 0.5,
    "optimizer_top_p": 0.9,
    "max_tokens": 99,
    "extra_body": {"top_k": 20},
    "limit": 30,
}


def test_what_the_search_was_made_with_is_in_the_file(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    how = content(optimized(tmp_path / "m.yaml", system="Be terse.", seed=0).output)["how"]
    assert (how["evolver"], how["optimizer"], how["system"], how["dev"]) == (EVOLVER, OPTIMIZER, "Be terse.", DEV)
    assert (how["seeds"]["rows"], len(how["seeds"]["digest"])) == (40, 64)
    dev, _ = drawn(stage_input(SEEDS, before=None), DEV, 2000, BATCH, 0)
    assert how["dev_rows"] == [row.seed_index for row in dev]
    # of the working folder's git repository nothing decides the file
    assert {"python", "evolvent"} <= set(how["versions"]) <= set(read_manifest(tmp_path / "m.run")[STAGE].versions)
    assert "git" not in how["versions"]


@pytest.mark.parametrize("name", BOUND)
def test_what_changes_the_output_binds_the_folder(tmp_path: Path, follow: Follow, name: str) -> None:
    follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml")
    with pytest.raises(InputError, match=f"\n  {name}: .* in the folder, .* now"):
        optimized(tmp_path / "m.yaml", **{name: BOUND[name]})


def test_fresh_makes_it_anew_and_pays_no_equal_call_again(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml")
    count = asked(opened)
    found = content(optimized(tmp_path / "m.yaml", steps=3, fresh=True).output)
    assert (found["how"]["steps"], asked(opened)) == (3, count)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"dev": 0}, "dev is 0"),
        ({"profile": "code"}, "unknown profile 'code'"),
        ({"dev": 39}, "has 40 rows, and 42 are needed"),
        ({"pool": 10}, "the pool is 10, and 11 are needed"),
        ({"retry_failed": True}, "takes no --retry-failed"),
        ({"evolver": "nothing"}, "unknown model"),
        ({"optimizer_temperature": 9}, "temperature is 9"),
        ({"out": Path("m.json")}, "is no YAML file"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, follow: Follow, options: dict[str, Any], words: str
) -> None:
    follow(Script())
    out = tmp_path / options.pop("out", "m.yaml")
    with pytest.raises(InputError, match=words):
        optimized(out, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_no_search_made_is_not_overwritten(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 0}))
    file = tmp_path / "m.yaml"
    file.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        optimized(file)
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]
    optimized(file, fresh=True)
    assert read_method(file).text == method(0)


def test_the_seeds_of_the_optimizer_s_calls(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml", concurrency=1)
    names = [(n, stage) for stage in ("analysis", "optimization") for n in (1, 2, 3)]
    expected = {call_seed(0, f"step-1/candidate-{n}", stage) for n, stage in names}
    assert {sampling.seed for _, sampling in opened[OPTIMIZER].asked} == expected
