"""How far a stage is: counts that are true from the first second on, told to a function, in lines on standard error."""

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import evolvent
from evolvent.errors import ModelUnavailableError
from evolvent.models.models import Models
from evolvent.models.protocols import Usage
from evolvent.records import Record
from evolvent.report.printing import print_run
from evolvent.report.progress import on_standard_error
from evolvent.responses.respond import respond
from evolvent.runs import progress
from evolvent.runs.progress import Progress, news, plain_lines, shown, told
from tests.runs.staged import EVOLVER, PART, TEACHER, breaking_after, evolved, longer, write_seeds
from tests.scripted import Opened


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def begun(clock: Clock, total: int, done: int = 0, **options: Any) -> Progress:
    found = Progress("evolve", total, started=clock.now, **options)
    found.begin(done)
    return found


def test_a_line(clock: Clock) -> None:
    done = begun(clock, 2000, 1000)
    assert done.line() == "evolve: 1,000 of 2,000 records (0 by this command), 0 failed, 0 eliminated"
    clock.now += 10
    for _ in range(100):
        done.advance(eliminated=1)
    done.advance(failed=2)
    # what was done before does not count in the rate
    assert done.line() == (
        "evolve: 1,101 of 2,000 records (101 by this command), 10.1/s, 89 s left, 2 failed, 100 eliminated"
    )


def test_no_guess_by_records_before_a_twentieth_is_done(clock: Clock) -> None:
    done = begun(clock, 200)
    clock.now += 1
    for _ in range(9):
        done.advance()
    assert "left" not in done.line()
    done.advance()
    assert "19 s left" in done.line()


def test_a_rate_is_shown_when_it_means_something(clock: Clock) -> None:
    done = begun(clock, 200)
    clock.now += 30
    for _ in range(9):
        done.advance()
    assert done.line() == "evolve: 9 of 200 records, 0 failed, 0 eliminated"
    done.advance()
    assert done.line() == "evolve: 10 of 200 records, 20.0/min, 9.5 min left, 0 failed, 0 eliminated"
    few = begun(clock, 2)
    clock.now += 1
    for _ in range(2):
        few.advance()
    assert "2 of 2 records, 2.0/s" in few.line()


def test_calls_tokens_and_the_time_that_is_left_from_the_first_reply_on(clock: Clock) -> None:
    done = begun(clock, 10, calls_each=3)
    clock.now += 2
    done.called(Usage(10, 50))
    assert done.line() == "evolve: 0 of 10 records, 1 call, 25 tokens/s, 58 s left, 0 failed, 0 eliminated"
    for _ in range(40):  # more than a record takes: no guess is better than a wrong one
        done.called(Usage(10, 50))
    assert done.eta_seconds is None
    assert begun(clock, 10).eta_seconds is None


def test_rows_that_passed_are_counted_where_a_stage_says_so(clock: Clock) -> None:
    done = begun(clock, 100)
    done.advance(ok=0, eliminated=3)
    assert done.line() == "evolve: 1 of 100 records, 0 ok, 0 failed, 3 eliminated"
    done.advance(ok=2, failed=1)
    assert done.fates() == "2 ok, 1 failed, 3 eliminated"


def test_a_line_now_and_then_and_one_at_the_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    with shown("evolve", 30, show=True) as advance:
        for _ in range(30):
            clock.now += 1
            advance()
    assert [line.split(" of ")[0] for line in out.getvalue().splitlines()] == [
        "evolve: 10",
        "evolve: 20",
        "evolve: 30",
        "evolve: 30",
    ]


def test_loading_and_waiting_for_the_first_reply_make_no_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    running = Progress("evolve", 3)
    with told(running, True):
        running.load("hf:big")
        clock.now += 60
        running.begin(1)
        clock.now += 9
        running.called(Usage(1, 1))
        clock.now += 1
        running.called(Usage(1, 1))
        running.advance()
        running.advance()
    assert capsys.readouterr().err.splitlines() == [
        "evolve: loading hf:big …",
        "evolve: 1 of 3 records (0 by this command), 2 calls, 0 tokens/s, 0 failed, 0 eliminated",
        "evolve: 3 of 3 records (2 by this command), 12.0/min, 2 calls, 0 tokens/s, 0 failed, 0 eliminated",
    ]


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("evolve", 3, show=False) as advance:
        advance(failed=1)
    assert capsys.readouterr() == ("", "")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_leaves_one_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with shown("evolve", 2, show=on_standard_error()) as advance:
        advance(eliminated=1)
        advance()
    assert "\x1b" in out.getvalue()
    clean = out.getvalue().rsplit("\x1b", 1)[-1]
    assert "evolve: 2 of 2 records, " in clean
    assert clean.endswith("/s, 0 failed, 1 eliminated\n")


def test_a_bar_ends_with_what_stops_the_work_and_shows_samples_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    running = Progress("evolve", 2, samples=1)
    with pytest.raises(ValueError, match="no"), told(running, on_standard_error()):
        running.load("embedded")
        running.begin()
        running.advance(rows=[Record("a", "a", 0, "Mend \x1b]0;a[red]")])
        raise ValueError("no")
    assert out.getvalue().startswith("evolve: loading embedded …\n")
    assert "  seed: Mend \\x1b]0;a[red]" in out.getvalue()
    assert "of 2 records" not in out.getvalue()


def test_a_sample_is_what_was_made_of_a_record() -> None:
    seed = Record("a", "a", 0, "Mend\na sock")
    made = [
        seed,
        Record("a/r1", "a", 0, "x" * 400, round=1, operator="breadth"),
        Record("a/r2", "a", 0, "", round=2, operator="deepening", status="eliminated", reason="empty"),
    ]
    assert list(news(Progress("evolve", 1, sample=tuple(made)))) == [
        "  seed: Mend a sock",
        f"  round 1, breadth: {'x' * 300} … [ok]",
        "  round 2, deepening:  [eliminated: empty]",
    ]
    answers = [
        Record(f"a/{n}", "a", 0, "Mend it", output=f"So \x1b{n}.", teacher=n, scores={"ifd": 0.5, "by": "m"})
        for n in "MN"
    ]
    assert list(news(Progress("respond", 1, sample=tuple(answers)))) == [
        "  seed: Mend it",
        "    answer by M: So \\x1bM. [ok] ifd 0.5",
        "    answer by N: So \\x1bN. [ok] ifd 0.5",
    ]


@pytest.mark.parametrize(("wanted", "which"), [(0, []), (1, [0]), (3, [0, 4, 7]), (20, list(range(10)))])
def test_samples_are_spread_over_the_records(wanted: int, which: list[int]) -> None:
    done: list[Progress] = []
    running = Progress("evolve", 10, samples=wanted, tell=done.append)
    running.begin()
    for n in range(10):
        running.advance(rows=[Record(str(n), "a", n, "x")])
    assert [row.seed_index for one in done for row in one.sample] == which


# Of stages


def test_a_function_is_told_and_keeps_what_it_is_told(tmp_path: Path, models: Opened) -> None:
    told: list[evolvent.Progress] = []
    run = evolved(write_seeds(tmp_path, range(3)), tmp_path / "run", rounds=2, progress=told.append, concurrency=1)
    assert [(one.done, one.calls) for one in told if not one.ended] == [
        (0, 0),
        *[state for n in range(3) for state in ((n, 2 * n + 1), (n, 2 * n + 2), (n + 1, 2 * n + 2))],
    ]
    last = told[-1]
    assert (last.stage, last.total, last.ok, last.ended, last.stopped) == ("evolve", 3, 6, True, False)
    assert (last.prompt_tokens, last.completion_tokens) == (12, 6)
    assert run.made == {"records": 3, "before": 0, "calls": 6, "prompt_tokens": 12, "completion_tokens": 6}
    assert told[1].eta_seconds is not None


def test_what_it_raises_stops_the_stage_which_goes_on_later(tmp_path: Path, models: Opened) -> None:
    def stop(progress: evolvent.Progress) -> None:
        if progress.calls == 2:
            raise ValueError("enough")

    seeds = write_seeds(tmp_path, range(3))
    with pytest.raises(ValueError, match="enough"):
        evolved(seeds, tmp_path / "run", progress=stop, concurrency=1)
    evolved(seeds, tmp_path / "run")
    assert len(models[EVOLVER].asked) == 3


def test_samples_go_to_standard_error_and_never_to_standard_output(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evolved(write_seeds(tmp_path, range(9)), tmp_path / "run", show=2)
    respond(run, teacher=TEACHER, out=run.path, show=1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(":")[0].strip() for line in printed.err.splitlines()] == [
        *("seed", "round 1, constraints", "seed", "round 1, constraints"),
        *("round 1, constraints", "answer by openai"),
    ]


def test_the_loading_of_a_model_is_told_once_and_only_where_one_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(("embedded", TEACHER), longer)
    monkeypatch.setattr("evolvent.models.models.open_chat", opened.open_chat)
    told: list[evolvent.Progress] = []
    seeds = write_seeds(tmp_path, range(2))
    with Models() as models:
        for name in ("one", "two"):
            out = tmp_path / name
            run = evolvent.evolve(seeds, model="embedded", out=out, rounds=1, models=models, progress=told.append)
        respond(run, teacher=TEACHER, out=run.path, models=models, progress=told.append)
    assert [(one.stage, one.loading) for one in told if one.loading] == [("evolve", "embedded")]
    assert told[0].loading == "embedded"


def test_after_a_stop_the_counts_of_this_command_are_said(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = write_seeds(tmp_path, range(3 * PART))
    models[EVOLVER].reply = breaking_after(2 * PART + 3, ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError):
        evolved(seeds, tmp_path / "run", concurrency=1)
    models[EVOLVER].reply = longer
    run = evolved(seeds, tmp_path / "run", progress=plain_lines(), concurrency=1)
    assert run.made["calls"] == PART - 3
    before = run.made["before"]
    assert f"12 of 12 records ({12 - before} by this command), " in capsys.readouterr().err
    print_run(run)
    words = f"evolve: of all this, this command made {12 - before} of 12 records, 1 new calls, 1 of 12 tokens out"
    assert words in capsys.readouterr().out
    print_run(evolved(seeds, tmp_path / "new"))
    assert "this command" not in capsys.readouterr().out
