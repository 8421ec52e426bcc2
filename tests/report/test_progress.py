"""The progress of a stage on standard error: a bar on a terminal, lines elsewhere."""

import io

import pytest

from evolvent.report.progress import on_standard_error
from evolvent.runs.progress import shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_a_stage() -> None:
    with shown("evolve", 2, show=on_standard_error()) as advance:
        advance(ok=1)
        advance(ok=0, failed=1)


def test_on_a_terminal_it_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", error := Terminal())
    run_a_stage()
    assert "━" in error.getvalue()
    assert error.getvalue().endswith("1 ok, 1 failed, 0 eliminated\n")


def test_elsewhere_it_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", error := io.StringIO())
    run_a_stage()
    (line,) = error.getvalue().splitlines()
    assert line.startswith("evolve: 2 of 2 records") and line.endswith("1 ok, 1 failed, 0 eliminated")
