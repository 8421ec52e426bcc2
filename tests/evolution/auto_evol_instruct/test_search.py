"""The search: how candidates are chosen, when it stops, and what its models are asked."""

import itertools
import json
from pathlib import Path

import pytest

from evolvent.call_store.key import call_seed
from evolvent.errors import RunError
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.evolution.auto_evol_instruct.optimize import drawn, optimize_method
from evolvent.evolution.auto_evol_instruct.search import calls_at_most, drawn_batch
from evolvent.runs.inputs import stage_input
from evolvent.runs.manifest import read_manifest
from tests.evolution.auto_evol_instruct.scripted_search import (
    BATCH,
    CANDIDATES,
    DEV,
    EVOLVER,
    OPTIMIZER,
    SEEDS,
    Follow,
    Script,
    content,
    fenced,
    method,
    optimized,
)


def test_the_lowest_rate_wins_and_a_tie_goes_to_the_earlier_candidate(tmp_path: Path, follow: Follow) -> None:
    other = method(3).replace("Reply strictly", "Reply quite strictly")
    follow(Script(6, {(1, 1): 5, (1, 2): 3, (1, 3): fenced(other)}))
    found = content(optimized(tmp_path / "m.yaml", steps=1).file)
    assert (found["method"], found["found_by"], found["failure_rate"]) == (method(3), "step 1, candidate 2", 3 / 8)
    assert [one["failure_rate"] for one in found["steps"][0]["candidates"]] == [5 / 8, 3 / 8, 3 / 8]
    assert found["steps"][0]["chosen"] == "candidate 2"
    assert found["stopped"] == "all 1 steps are done"


def test_a_tie_with_the_current_method_goes_to_it_and_ends_the_search(tmp_path: Path, follow: Follow) -> None:
    other = method(4).replace("Reply strictly", "Reply quite strictly")
    follow(Script(6, {(1, 3): 4, (2, 1): fenced(other), (2, 2): 5, (2, 3): 8}))
    found = content(optimized(tmp_path / "m.yaml").file)
    assert (found["method"], found["found_by"]) == (method(4), "step 1, candidate 3")
    assert found["stopped"] == "no candidate of step 2 has a lower failure rate"
    assert found["steps"][1]["chosen"] == "the method before this step"
    assert len(found["steps"]) == 2


def test_the_search_begins_a_step_with_what_the_step_before_it_chose(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 5, (2, 2): 4, (3, 3): 2}))
    found = content(optimized(tmp_path / "m.yaml", steps=3).file)
    assert [step["chosen"] for step in found["steps"]] == ["candidate 1", "candidate 2", "candidate 3"]
    assert found["stopped"] == "all 3 steps are done"
    mended = [prompt for prompt, _ in opened[OPTIMIZER].asked if prompt.startswith("Feedback:")]
    assert [[quality for quality in range(9) if method(quality) in prompt] for prompt in mended] == (
        [[]] * 3 + [[5]] * 3 + [[4]] * 3
    )
    assert all(initial_method().text in prompt for prompt in mended[:3])


def test_at_rate_0_the_search_stops(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 2): 0}))
    found = content(optimized(tmp_path / "m.yaml").file)
    assert (found["method"], found["failure_rate"]) == (method(0), 0)
    assert (found["stopped"], len(found["steps"])) == ("the failure rate is 0", 1)


def test_with_an_initial_method_that_never_fails_there_is_no_step(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(0))
    found = content(optimized(tmp_path / "m.yaml").file)
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
    done = optimized(tmp_path / "m.yaml")
    found = content(done.file)
    assert [one["invalid"] for one in found["steps"][0]["candidates"]] == list(INVALID)
    assert [one["reply"] for one in found["steps"][0]["candidates"]] == [reply.strip() for reply in INVALID.values()]
    assert not any("failure_rate" in one or "method" in one for one in found["steps"][0]["candidates"])
    assert (found["stopped"], found["method"]) == ("step 1 has no usable candidate", initial_method().text)
    assert (done.counts["candidates"], done.counts["invalid candidates"]) == (3, 3)
    assert len(opened[EVOLVER].asked) == 2 * DEV + BATCH


def test_equal_candidates_are_evaluated_once(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): fenced(initial_method().text), (1, 2): 4, (1, 3): fenced(f"\n{method(4)}  \n")}))
    done = optimized(tmp_path / "m.yaml", steps=1)
    candidates = content(done.file)["steps"][0]["candidates"]
    assert [one.get("same_as") for one in candidates] == ["the current method", None, "candidate 2"]
    assert ["failure_rate" in one for one in candidates] == [False, True, False]
    assert done.counts["equal candidates"] == 2
    assert len(opened[EVOLVER].asked) == 2 * DEV + BATCH + 2 * DEV


def test_a_candidate_that_gets_no_answer_is_never_chosen(tmp_path: Path, follow: Follow) -> None:
    script = Script(6, {(1, 1): 0, (1, 2): 5}, unparsed={0: DEV})
    follow(script)
    found = content(optimized(tmp_path / "m.yaml", profile="paper", steps=1).file)
    assert found["steps"][0]["candidates"][0]["invalid"] == "none of the dev set came to an answer"
    assert found["found_by"] == "step 1, candidate 2"


def test_the_calls_of_a_search(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, dict(zip(itertools.product((1, 2), (1, 2, 3)), (5, 7, 8, 4, 2, 1), strict=True))))
    done = optimized(tmp_path / "m.yaml", steps=2, rounds=2)
    assert len(opened[EVOLVER].asked) == 2 * DEV + 2 * (2 * BATCH + 3 * 2 * DEV)
    assert len(opened[OPTIMIZER].asked) == 2 * 3 * 2
    used = content(done.file)["used"]
    assert {uri: one["calls"] for uri, one in used.items()} == {
        EVOLVER: len(opened[EVOLVER].asked),
        OPTIMIZER: len(opened[OPTIMIZER].asked),
    }
    assert read_manifest(done.folder)["optimize-method"].used[EVOLVER]["calls"] == len(opened[EVOLVER].asked)


def test_a_search_makes_no_more_calls_than_a_dry_run_says(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, dict(zip(itertools.product((1, 2), (1, 2, 3)), (5, 7, 8, 4, 2, 1), strict=True))))
    optimized(tmp_path / "m.yaml", steps=2, rounds=2)
    most = calls_at_most(steps=2, candidates=CANDIDATES, batch=BATCH, rounds=2, dev=DEV)
    assert (len(opened[EVOLVER].asked), len(opened[OPTIMIZER].asked)) == most  # all steps, candidates all different


def test_the_paper_s_numbers() -> None:
    """10 steps of 5 candidates: the 510 calls a step that the paper's cost table counts, and what it leaves out."""
    assert calls_at_most(steps=10, candidates=5, batch=10, rounds=1, dev=50) == (100 + 10 * 510, 100)


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
    assert shown.count("Stage 0: Mend sock number") == shown.count("Do it neatly with quality 6.") == BATCH
    assert "wool" not in shown


def test_the_seeds_of_the_optimizer_s_calls(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): 0}))
    optimized(tmp_path / "m.yaml", concurrency=1)
    names = [(n, stage) for stage in ("analysis", "optimization") for n in (1, 2, 3)]
    expected = {call_seed(0, f"step-1/candidate-{n}", stage) for n, stage in names}
    assert {sampling.seed for _, sampling in opened[OPTIMIZER].asked} == expected


def test_the_dev_set_and_the_mini_batches() -> None:
    source = stage_input(SEEDS, before=None)
    dev, pool = drawn(source, DEV, 2000, 0)
    assert sorted(row.seed_index for row in [*dev, *pool]) == list(range(40))
    assert drawn(source, DEV, 2000, 0) == (dev, pool) != drawn(source, DEV, 2000, 1)
    small_dev, small_pool = drawn(source, DEV, 15, 0)
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

    optimize_method(
        rows, evolver=EVOLVER, optimizer=OPTIMIZER, out=tmp_path / "m.yaml", dev=DEV, batch=BATCH, candidates=1
    )
    answering = [turns for turns in opened[EVOLVER].conversations if "#Instruction#" not in turns[-1]["content"]]
    assert {turns[0]["content"] for turns in answering} == {"Be kind."}


def test_a_search_whose_initial_method_yields_nothing_starts_from_its_failures(tmp_path: Path, follow: Follow) -> None:
    opened = follow(Script(6, {(1, 1): "no fence", (1, 2): 3, (1, 3): 5}, unparsed={6: 100}))
    done = optimized(tmp_path / "m.yaml", steps=1)
    found = content(done.file)
    assert (found["initial"]["failure_rate"], found["failure_rate"], done.method.text) == (1.0, 3 / 8, method(3))
    [analysis, *_] = [prompt for prompt, _ in opened[OPTIMIZER].asked if prompt.startswith("The cases below")]
    assert "(no instruction: the reply did not keep to the format; it was: I would rather not.)" in analysis


def test_a_search_in_which_no_method_yields_anything_says_so(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, {(1, 1): 3}, unparsed={6: 100, 3: 100, 9: 100}))
    with pytest.raises(
        RunError, match=r"no answer in all 8 rows .*\(unparsed: 8\), and no method made of its failures"
    ):
        optimized(tmp_path / "m.yaml", steps=2)
