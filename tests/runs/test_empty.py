"""Replies without text: a server that sends nothing else stops the stage, and what came back empty is asked again."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from evolvent.call_store.log import calls
from evolvent.errors import InputError, ModelUnavailableError, RunError
from evolvent.evolution.auto_evol_instruct.method import initial_method
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.report.contents import contents
from evolvent.report.printing import print_run
from evolvent.report.summary import summary
from evolvent.responses.respond import respond
from evolvent.runs import parts
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import has_parts
from tests.runs.staged import (
    EVOLVER,
    OTHER,
    TEACHER,
    asked_in,
    breaking_after,
    evolved,
    longer,
    undisturbed,
    write_seeds,
)
from tests.scripted import Opened

NOTHING = Reply("", "stop", Usage(2, 0))


def empty(*_: object) -> Reply:
    return NOTHING


def empty_for(
    named: Iterable[int], otherwise: Callable[[str, Sampling], Reply] = longer
) -> Callable[[str, Sampling], Reply]:
    """No text for the seeds of these numbers."""
    words = [f"number {n}:" for n in named]
    return lambda prompt, how: NOTHING if any(word in prompt for word in words) else otherwise(prompt, how)


def auto_evol(prompt: str, sampling: Sampling) -> Reply:
    given = prompt[prompt.rindex("Mend sock") :]
    return Reply(f"#{initial_method().final_heading}#:\n{longer(given, sampling).text}", "stop", Usage(2, 1))


@pytest.mark.parametrize("profile", ["default", "paper"])
@pytest.mark.parametrize("method", ["evol-instruct", "auto-evol-instruct"])
def test_nothing_but_empty_replies_stops_it_early_and_they_are_asked_again(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch, method: str, profile: str
) -> None:
    monkeypatch.setattr(parts, "PART", 64)
    models[EVOLVER].reply = empty
    seeds = write_seeds(tmp_path, range(40))
    options = {"method": method, "profile": profile}
    with pytest.raises(
        RunError,
        match=r"every record of evolve failed, 20 so far; the first: .* holds no text\n.*evolvent calls .*/run",
    ):
        evolved(seeds, tmp_path / "run", **options)
    attempts = 3 if profile == "default" else 1
    assert attempts * 20 <= asked_in(models[EVOLVER]) < attempts * 30
    with pytest.raises(RunError, match="holds no text"):
        evolved(seeds, tmp_path / "run", **options)  # they are in the store

    models[EVOLVER].reply = longer if method == "evol-instruct" else auto_evol
    asked_in(models[EVOLVER])
    run = evolved(seeds, tmp_path / "run", **options, retry_empty=True)
    assert (asked_in(models[EVOLVER]), run.counts["ok"]) == (40, 40)
    assert run.output.read_bytes() == undisturbed(tmp_path, seeds, **options)


def test_when_every_one_of_a_few_records_comes_back_empty_no_file_is_made(tmp_path: Path, models: Opened) -> None:
    models[EVOLVER].reply = empty
    with pytest.raises(RunError, match=r"every record of evolve failed, 3 so far; the first: .* holds no text"):
        evolved(write_seeds(tmp_path, range(3)), tmp_path / "run")
    assert not (tmp_path / "run" / "evolved.parquet").exists()


def test_a_teacher_whose_replies_are_all_empty_stops_it_by_its_name(tmp_path: Path, models: Opened) -> None:
    models[TEACHER].reply = empty
    seeds = write_seeds(tmp_path, range(40))
    with pytest.raises(RunError) as caught:
        respond(seeds, teacher=[OTHER, TEACHER], out=tmp_path / "run")
    assert f"every record of respond by {TEACHER} failed, 20 so far" in caught.value.message
    models[TEACHER].reply = longer
    answered = asked_in(models[OTHER])
    run = respond(seeds, teacher=[OTHER, TEACHER], out=tmp_path / "run", retry_empty=True)
    assert run.counts["groups"] == {OTHER: {"ok": 40}, TEACHER: {"ok": 40}}
    assert asked_in(models[OTHER]) <= 40 - answered + 2  # what was in flight when it stopped


def test_retry_empty_asks_for_the_empty_only(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = write_seeds(tmp_path, range(22))
    firsts: set[str] = set()

    def empty_at_first(prompt: str, sampling: Sampling) -> Reply:
        """Another record of the same part came back empty too, and was mended by its second attempt."""
        if "number 13:" in prompt and prompt not in firsts:
            firsts.add(prompt)
            return NOTHING
        return longer(prompt, sampling)

    models[EVOLVER].reply = empty_for([3, 12], empty_at_first)
    before = list(evolved(seeds, tmp_path / "run", rounds=2))
    assert sum(row.reason == "empty" for row in before) == 4
    print_run(evolved(seeds, tmp_path / "run", rounds=2))
    assert "evolve: 4 came back empty; the same command with --retry-empty asks" in capsys.readouterr().out
    [behind] = [table for table in summary(contents(tmp_path / "run")) if table.title == "behind the rows"]
    assert behind.columns[-1] == "empty" and behind.rows[0][-1] == "4"
    asked_in(models[EVOLVER])
    assert evolved(seeds, tmp_path / "run", rounds=2, retry_failed=True).already_done

    models[EVOLVER].reply = empty_for([12])
    evolved(seeds, tmp_path / "run", rounds=2, retry_empty=True)
    assert asked_in(models[EVOLVER]) == 2 + 6
    models[EVOLVER].reply = longer
    run = evolved(seeds, tmp_path / "run", rounds=2, retry_empty=True)
    assert asked_in(models[EVOLVER]) == 2
    assert {row.status for row in run} == {"ok"}
    kept = [row for row in before if row.seed_index not in (3, 12)]
    assert [row for row in run if row.seed_index not in (3, 12)] == kept
    assert evolved(seeds, tmp_path / "run", rounds=2, retry_empty=True).already_done
    assert read_manifest(tmp_path / "run")["evolve"].used[EVOLVER]["unusable"] == 2
    assert not list(calls(tmp_path / "run", failed=True))


def test_what_was_mended_by_a_later_attempt_stays_although_the_last_one_is_stored_as_empty(
    tmp_path: Path, models: Opened
) -> None:
    models[EVOLVER].reply = empty
    seeds = write_seeds(tmp_path, range(3))
    with pytest.raises(RunError):
        evolved(seeds, tmp_path / "run")
    again: set[str] = set()

    def empty_once(prompt: str, sampling: Sampling) -> Reply:
        if "number 2:" in prompt:
            return NOTHING
        again.add(prompt) if prompt not in again else again.discard(prompt)
        return NOTHING if prompt in again else longer(prompt, sampling)

    models[EVOLVER].reply = empty_once
    before = list(evolved(seeds, tmp_path / "run", retry_empty=True))
    models[EVOLVER].reply = longer
    after = list(evolved(seeds, tmp_path / "run", retry_empty=True))
    assert [row.status for row in after] == ["ok"] * 6
    assert after[:4] == before[:4]


def test_of_an_interrupted_stage_too(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(40))
    models[EVOLVER].reply = empty_for([1], breaking_after(36, ModelUnavailableError("gone")))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run", concurrency=1)
    assert has_parts(tmp_path / "run" / "evolved.parquet")
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    run = evolved(seeds, tmp_path / "run", retry_empty=True)
    assert (asked_in(models[EVOLVER]), run.counts["ok"]) == (3 + 1, 40)
    assert run.output.read_bytes() == undisturbed(tmp_path, seeds)


def test_equal_calls_that_came_back_empty_are_asked_again_once(tmp_path: Path, models: Opened) -> None:
    seeds = tmp_path / "same.jsonl"
    seeds.write_text('{"instruction": "Mend a sock"}\n' * 5 + '{"instruction": "Mend a bike"}\n')
    models[TEACHER].reply = lambda prompt, how: NOTHING if "sock" in prompt else longer(prompt, how)
    assert respond(seeds, teacher=TEACHER, out=tmp_path / "run").counts["eliminated"] == 5
    asked_in(models[TEACHER])
    assert respond(seeds, teacher=TEACHER, out=tmp_path / "run", retry_empty=True).counts["eliminated"] == 5
    assert asked_in(models[TEACHER]) == 1
    models[TEACHER].reply = longer
    assert respond(seeds, teacher=TEACHER, out=tmp_path / "run", retry_empty=True).counts["ok"] == 6


def test_where_there_is_nothing_to_ask_again(tmp_path: Path, models: Opened) -> None:
    with pytest.raises(InputError, match=r"--retry-empty: .* holds no evolve"):
        evolved(write_seeds(tmp_path, range(2)), tmp_path / "run", retry_empty=True)


def test_a_damaged_reply_is_asked_again_with_the_empty_ones(tmp_path: Path, models: Opened) -> None:
    seeds = write_seeds(tmp_path, range(3))
    models[EVOLVER].reply = empty_for([1])
    evolved(seeds, tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "calls.sqlite")) as store, store:
        store.execute("UPDATE calls SET reply = '{}', checksum = NULL")
    models[EVOLVER].reply = longer
    run = evolved(seeds, tmp_path / "run", retry_empty=True, fresh=True)
    assert run.output.read_bytes() == undisturbed(tmp_path, seeds)


def thoughts(prompt: str, _: Sampling) -> Reply:
    return Reply("", "length" if "number 1:" in prompt else "stop", reasoning="The user wants bread.")


def test_a_few_answers_that_are_only_reasoning_say_so(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    models[TEACHER].reply = thoughts
    run = respond(write_seeds(tmp_path, range(3)), teacher=[TEACHER], out=tmp_path / "run")
    assert [row.reason for row in run] == ["only reasoning", "cut inside its reasoning", "only reasoning"]
    print_run(run)
    out, err = capsys.readouterr()
    assert "2 came back only reasoning; switch the model's thinking off" in out
    assert "1 came back cut inside its reasoning; raise --max-tokens, or switch" in out
    assert "all 3 rows were eliminated: only reasoning 2, cut inside its reasoning 1" in err


def test_a_teacher_that_only_thinks_stops_it_and_the_error_says_what_to_do(tmp_path: Path, models: Opened) -> None:
    models[TEACHER].reply = thoughts
    with pytest.raises(RunError, match=r"20 so far; .* holds no text: only reasoning\nSwitch the .*thinking"):
        respond(write_seeds(tmp_path, range(30)), teacher=[TEACHER], out=tmp_path / "run")
