"""A search that is stopped goes on where it was, and comes to the same file."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolvent.call_store.log import calls
from evolvent.call_store.store import spent_in
from evolvent.errors import BudgetReachedError, InputError, ModelUnavailableError
from evolvent.evolution.auto_evol_instruct import optimize
from evolvent.evolution.auto_evol_instruct.history import read_method, write_history
from evolvent.evolution.auto_evol_instruct.search import Found
from evolvent.models import models as opened_models
from evolvent.models.protocols import Reply, Sampling
from tests.evolution.auto_evol_instruct.scripted_search import (
    BATCH,
    DEV,
    EVOLVER,
    OPTIMIZER,
    SEARCH,
    Follow,
    Killed,
    Script,
    asked,
    content,
    method,
    models,
    optimized,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a search that was left alone."""
    opened = models(Script(6, SEARCH))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_models, "open_chat", opened.open_chat)
        return optimized(tmp_path_factory.mktemp("undisturbed") / "m.yaml").folder


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
    done = optimized(tmp_path / "m.yaml")
    before = done.file.read_bytes()
    count = asked(opened)
    again = optimized(tmp_path / "m.yaml")
    assert (again.already_done, again.file, again.counts) == (True, tmp_path / "m.yaml", done.counts)
    done.file.write_text("# notes of mine\n" + before.decode())
    assert optimized(tmp_path / "m.yaml").already_done
    assert done.file.read_text().startswith("# notes of mine")
    done.file.unlink()
    assert optimized(tmp_path / "m.yaml").already_done
    assert done.file.read_bytes() == before
    assert asked(opened) == count


def test_calls_can_be_looked_up_by_step_and_candidate(tmp_path: Path, follow: Follow) -> None:
    follow(Script(6, SEARCH))
    done = optimized(tmp_path / "m.yaml")
    assert len(list(calls(done.folder, record="step-1/candidate-1"))) == 2 + 2 * DEV
    assert len(list(calls(done.folder, record="step-1/candidate-2"))) == 2
    assert len(list(calls(done.folder, record="step-2/batch"))) == BATCH
    assert len(list(calls(done.folder, record="initial"))) == 2 * DEV


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
    done = optimized(tmp_path / "m.yaml", budget=100.0, **prices)
    assert done.file.read_bytes() == (undisturbed / "method.yaml").read_bytes()


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
    assert len(content(optimized(tmp_path / "m.yaml", fresh=True).file)["steps"]) == 3
