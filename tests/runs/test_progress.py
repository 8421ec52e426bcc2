"""Progress on standard error: lines where there is no terminal, and counts that are true from the first second on."""

import sys
from io import StringIO

import pytest

from evolvent.report.progress import on_standard_error
from evolvent.runs import progress
from evolvent.runs.progress import Progress, shown


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


def test_a_line(clock: Clock) -> None:
    done = Progress("evolve", 2000, 1000, 1000, started=clock.now)
    assert done.line() == "evolve: 1,000 of 2,000 records, 0 failed, 0 eliminated"
    clock.now += 10
    for _ in range(100):
        done.advance(eliminated=1)
    done.advance(failed=2)
    # what was done before does not count in the rate
    assert done.line() == "evolve: 1,101 of 2,000 records, 10.1/s, 89 s left, 2 failed, 100 eliminated"


def test_no_guess_before_a_twentieth_is_done(clock: Clock) -> None:
    done = Progress("evolve", 200, started=clock.now)
    clock.now += 1
    for _ in range(9):
        done.advance()
    assert "left" not in done.line()
    done.advance()
    assert "19 s left" in done.line()


def test_a_rate_is_shown_when_it_means_something(clock: Clock) -> None:
    done = Progress("evolve", 200, started=clock.now)
    clock.now += 30
    for _ in range(9):
        done.advance()
    assert done.line() == "evolve: 9 of 200 records, 0 failed, 0 eliminated"
    done.advance()
    assert done.line() == "evolve: 10 of 200 records, 20.0/min, 9.5 min left, 0 failed, 0 eliminated"
    few = Progress("evolve", 2, started=clock.now)
    clock.now += 1
    for _ in range(2):
        few.advance()
    assert "2 of 2 records, 2.0/s" in few.line()


def test_rows_that_passed_are_counted_where_a_stage_says_so(clock: Clock) -> None:
    done = Progress("evolve", 100, started=clock.now)
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


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("evolve", 3, show=False) as advance:
        advance(failed=1)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_leaves_one_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with shown("evolve", 3, done=1, show=on_standard_error) as advance:
        advance(eliminated=1)
        advance()
    assert "\x1b" in out.getvalue()
    clean = out.getvalue().rsplit("\x1b", 1)[-1]
    assert "evolve: 3 of 3 records, " in clean
    assert clean.endswith("/s, 0 failed, 1 eliminated\n")
