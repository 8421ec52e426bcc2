"""More rounds, more seeds, longer replies: the same command goes on, asks what is new, writes what a new run would."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.protocols import Reply, Sampling, Usage
from evolvent.responses.respond import respond
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest
from evolvent.runs.parts import has_parts
from evolvent.runs.run import Run
from tests.runs.staged import (
    EVOLVER,
    PART,
    TEACHER,
    asked_in,
    breaking_after,
    evolved,
    longer,
    undisturbed,
    write_seeds,
)
from tests.scripted import Opened

SEEDS = 3 * PART
LONG = [1, PART + 2]  # the seeds whose evolutions are long


def answered(run: Path, **options: Any) -> Run:
    return respond(run, teacher=TEACHER, out=run, **{"concurrency": 3, **options})


def of_length(limit_of: list[int] = LONG) -> Any:
    """Twenty tokens for some seeds, two for the others, cut at the limit."""

    def reply(prompt: str, sampling: Sampling) -> Reply:
        length = 20 if any(f"number {n}:" in prompt for n in limit_of) else 2
        text = longer(prompt, sampling).text
        if length > sampling.max_tokens:
            return Reply(text[:-2], "length", Usage(2, sampling.max_tokens))
        return Reply(text, "stop", Usage(2, length))

    return reply


GROWN: list[tuple[dict[str, Any], dict[str, Any], int, str]] = [
    ({"rounds": 1}, {"rounds": 3}, 2 * SEEDS, "evolve: rounds 1 → 3: going on"),
    ({"limit": 5}, {"limit": 9}, 4, "evolve: input 5 → 9 rows: going on"),
    ({"limit": 5}, {}, SEEDS - 5, "evolve: input 5 → 12 rows: going on"),
    ({"limit": 5}, {"limit": 9, "rounds": 2}, 4 + 9, "evolve: rounds 1 → 2, input 5 → 9 rows: going on"),
    ({"max_tokens": 9}, {"max_tokens": 1000}, len(LONG), "evolve: max_tokens 9 → 1,000: going on"),
    ({"max_tokens": 9, "rounds": 2}, {"max_tokens": 30, "rounds": 2}, 2 * len(LONG), "evolve: max_tokens 9 → 30:"),
]


@pytest.mark.parametrize(("before", "now", "new", "words"), GROWN)
def test_what_has_grown_goes_on_and_asks_only_what_is_new(
    tmp_path: Path,
    models: Opened,
    caplog: pytest.LogCaptureFixture,
    before: dict[str, Any],
    now: dict[str, Any],
    new: int,
    words: str,
) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    models[EVOLVER].reply = of_length()
    evolved(seeds, run, **before)
    asked_in(models[EVOLVER])
    grown = evolved(seeds, run, **now)
    assert asked_in(models[EVOLVER]) == new
    assert words in caplog.text
    assert grown.output.read_bytes() == undisturbed(tmp_path, seeds, **now)
    assert evolved(seeds, run, **now).already_done


def test_a_file_that_has_grown_at_its_end_goes_on(tmp_path: Path, models: Opened) -> None:
    """Also with bad rows among the first, and with rows that are there twice."""
    seeds, run = write_seeds(tmp_path, [*range(5), 2]), tmp_path / "run"
    content = seeds.read_text()
    seeds.write_text(content.replace("\n", "\n{}\n", 1))
    evolved(seeds, run, skip_bad=True)
    asked_in(models[EVOLVER])
    with seeds.open("a") as more:
        more.write("{}\n" + content)
    grown = evolved(seeds, run, skip_bad=True)
    assert asked_in(models[EVOLVER]) == 6
    assert grown.output.read_bytes() == undisturbed(tmp_path, seeds, skip_bad=True)


def test_rows_of_a_run_as_seeds_grow_by_their_limit(tmp_path: Path, models: Opened) -> None:
    made = evolved(write_seeds(tmp_path, range(SEEDS)), tmp_path / "first").output
    evolved(made, tmp_path / "run", limit=4)
    asked_in(models[EVOLVER])
    assert evolved(made, tmp_path / "run", limit=7).counts["seeds"] == 7
    assert asked_in(models[EVOLVER]) == 3
    assert evolved(made, tmp_path / "run").counts["seeds"] == 2 * SEEDS
    with pytest.raises(InputError, match="input"):
        evolved(made, tmp_path / "run", limit=3)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"rounds": 2}, {"rounds": 1}, "rounds: 2 in the folder, 1 now"),
        ({"limit": 5}, {"limit": 4}, "limit: 5 in the folder, 4 now"),
        ({}, {"limit": 4}, "limit: None in the folder, 4 now"),
        ({"max_tokens": 9}, {"max_tokens": 8}, "max_tokens: 9 in the folder, 8 now"),
        ({"rounds": 1}, {"rounds": 2, "temperature": 0.1}, "temperature"),
        ({"rounds": 1}, {"rounds": 2, "max_tokens": 8}, "max_tokens"),
    ],
)
def test_what_is_less_or_other_is_refused(
    tmp_path: Path, models: Opened, before: dict[str, Any], now: dict[str, Any], words: str
) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    made = evolved(seeds, run, **before).output.read_bytes()
    asked_in(models[EVOLVER])
    with pytest.raises(InputError, match=words):
        evolved(seeds, run, **now)
    assert (run / "evolved.parquet").read_bytes() == made
    assert evolved(seeds, run, **before).already_done
    assert not asked_in(models[EVOLVER])


def test_another_beginning_is_refused(tmp_path: Path, models: Opened) -> None:
    run = tmp_path / "run"
    evolved(write_seeds(tmp_path, range(SEEDS)), run)
    asked_in(models[EVOLVER])
    for numbers in ([1, *range(1, SEEDS + 1)], range(SEEDS - 1)):
        with pytest.raises(InputError, match="input: other content"):
            evolved(write_seeds(tmp_path, numbers), run)
    assert not asked_in(models[EVOLVER])


def test_other_weights_are_no_growth(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    made = evolved(seeds, run).output.read_bytes()
    models[EVOLVER].identity = '{"weights":"others"}'
    with pytest.raises(InputError, match="began with another"):
        evolved(seeds, run, rounds=2)
    assert (run / "evolved.parquet").read_bytes() == made
    assert read_manifest(run)["evolve"].settings["rounds"] == 1


def test_an_edited_file_is_not_made_over(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    output = evolved(seeds, run).output
    pq.write_table(pa.table({"a": [1]}), output)
    with pytest.raises(InputError, match="is not as the stage wrote it"):
        evolved(seeds, run, rounds=2)


# Stopped in between


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("after", [0, 1, 2 * PART + 3])
def test_stopped_in_between_the_old_file_stays_good_and_the_same_command_goes_on(
    tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch, after: int, *, killed: bool
) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    old = evolved(seeds, run).output.read_bytes()
    assert answered(run).counts["instructions"] == SEEDS
    asked_in(models[EVOLVER])
    models[EVOLVER].reply = breaking_after(after, ModelUnavailableError("gone"))
    with monkeypatch.context() as patch, pytest.raises(ModelUnavailableError):
        if killed:
            patch.setattr(RunFolder, "interrupt", lambda *_: None)
        evolved(seeds, run, rounds=2, concurrency=1)
    assert (run / "evolved.parquet").read_bytes() == old
    assert answered(run).already_done  # of the old file, which is the finished one
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    grown = evolved(seeds, run, rounds=2)
    assert asked_in(models[EVOLVER]) == SEEDS - after
    assert grown.output.read_bytes() == undisturbed(tmp_path, seeds, rounds=2)
    assert not has_parts(grown.output)
    assert read_manifest(run)["respond"].state == "stale"
    asked_in(models[TEACHER])
    assert answered(run).counts["instructions"] == 2 * SEEDS
    assert asked_in(models[TEACHER]) == SEEDS


def test_an_unfinished_stage_grows_too(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    models[EVOLVER].reply = breaking_after(2 * PART + 3, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, run, concurrency=1)
    models[EVOLVER].reply = longer
    asked_in(models[EVOLVER])
    assert evolved(seeds, run, rounds=2).output.read_bytes() == undisturbed(tmp_path, seeds, rounds=2)


# Later stages


def test_answers_grow_by_their_limit_and_their_length(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    evolved(seeds, run)
    models[TEACHER].reply = of_length()
    answered(run, limit=4, max_tokens=9)
    asked_in(models[TEACHER])
    answered(run, limit=7, max_tokens=9)
    assert asked_in(models[TEACHER]) == 3
    whole = answered(run, max_tokens=30)
    assert asked_in(models[TEACHER]) == SEEDS - 7 + len(LONG)
    evolved(seeds, tmp_path / "again")
    assert whole.output.read_bytes() == answered(tmp_path / "again", max_tokens=30).output.read_bytes()


def test_what_is_stale_may_grow_as_it_is_made_anew(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    evolved(seeds, run)
    models[TEACHER].reply = of_length()
    answered(run, max_tokens=9)
    evolved(seeds, run, rounds=2)
    asked_in(models[TEACHER])
    assert answered(run, max_tokens=30).counts["instructions"] == 2 * SEEDS
    assert asked_in(models[TEACHER]) == SEEDS + len(LONG)
    with pytest.raises(InputError, match="max_tokens"):
        answered(run, max_tokens=9)


def test_a_dry_run_says_that_it_would_go_on(tmp_path: Path, models: Opened) -> None:
    seeds, run = write_seeds(tmp_path, range(SEEDS)), tmp_path / "run"
    evolved(seeds, run)
    estimate = evolved(seeds, run, rounds=2, dry_run=True).estimate
    assert estimate is not None
    assert (estimate.differences, estimate.finished) == ((), False)
    assert estimate.lines == ("evolve goes on in the folder: rounds 1 → 2",)
    assert read_manifest(run)["evolve"].settings["rounds"] == 1
    assert len(models[EVOLVER].asked) == SEEDS
