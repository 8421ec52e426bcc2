"""``evolvent evolve`` with a pilot before it: when there is one, what it prints, how it is gone on with."""

import io
import os
from pathlib import Path

import pytest

from evolvent.cli import app
from evolvent.commands import evolve as command
from evolvent.errors import InputError
from evolvent.models import models as opened_models
from evolvent.runs.record_files import read_records
from tests.evolution.piloted import EVOLVER, replies, write_seeds
from tests.scripted import Opened


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened((EVOLVER,), replies)
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    return opened


def evolving(folder: Path, number: int, *typed: str) -> None:
    seeds = str(write_seeds(folder, number))
    words = ["evolve", seeds, "--model", EVOLVER, "--rounds", "1", "--no-breadth", "--out", str(folder / "run")]
    app([*words, *typed], standalone_mode=False)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(command, "_on_a_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))


def profile_of(run: Path) -> str:
    versions = {row.prompt_version for row in read_records(run / "evolved.parquet") if row.round}
    return "small" if all(version and version.count("-") == 2 for version in versions) else "default"


def test_elsewhere_it_ends_and_says_what_goes_on(
    tmp_path: Path, models: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    evolving(tmp_path, 6, "--pilot", "4", "--price", "1,2")
    shown = capsys.readouterr().out
    assert shown.startswith("pilot of 4 of 6 seeds\n\ndefault: 2 of 4 rows usable by our rules (50%); not usable: unch")
    assert "\nsmall: 4 of 4 rows usable by our rules (100%)" in shown
    assert "  round 1, constraints [eliminated: unchanged]\n    Mend the sock number 0\n    → Mend the" in shown
    assert "say \\x1b[31mwhy" in shown and "\x1b" not in shown
    assert "what a run of all 6 seeds would take" in shown and "cost" in shown
    assert "--profile small --no-pilot and without --pilot" in shown
    assert not (tmp_path / "run/evolved.parquet").exists() and not (tmp_path / "run/manifest.json").exists()


@pytest.mark.parametrize(("typed", "profile"), [("\n", "small"), ("default\n", "default"), ("no\n", None), ("", None)])
def test_on_a_terminal_it_asks(
    tmp_path: Path,
    models: Opened,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    profile: str | None,
) -> None:
    on_a_terminal(monkeypatch, typed)
    evolving(tmp_path, 5, "--pilot", "3")
    shown = capsys.readouterr()
    assert "go on with which profile? default, small (Enter); anything else stops: " in shown.err
    if profile is None:
        assert "--profile small --no-pilot" in shown.out and not (tmp_path / "run/evolved.parquet").exists()
    else:
        assert profile_of(tmp_path / "run") == profile
        assert len(models[EVOLVER].asked) == len({str(one) for one in models[EVOLVER].conversations})


@pytest.mark.parametrize(
    ("number", "options", "terminal", "piloted"),
    [
        (6, [], True, True),
        (5, [], True, False),
        (6, [], False, False),
        (6, ["--no-pilot"], True, False),
        (6, ["--profile", "small"], True, False),
        (6, ["--limit", "5"], True, False),
    ],
)
def test_a_large_run_begins_with_a_pilot(
    tmp_path: Path,
    models: Opened,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    options: list[str],
    terminal: bool,
    piloted: bool,
) -> None:
    monkeypatch.setattr(command, "MANY", 5)
    monkeypatch.setattr(command, "SIZE", 2)
    if terminal:
        on_a_terminal(monkeypatch, "\n")
    evolving(tmp_path, number, *options)
    shown = capsys.readouterr()
    assert ("pilot of 2 of 6 seeds" in shown.out) == piloted
    assert ("6 seeds: a pilot of 2 comes first; --no-pilot leaves it out" in shown.err) == piloted
    assert (tmp_path / "run/evolved.parquet").exists()


def test_a_run_that_has_begun_has_no_pilot(tmp_path: Path, models: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    evolving(tmp_path, 3)
    monkeypatch.setattr(command, "MANY", 1)
    on_a_terminal(monkeypatch, "")
    evolving(tmp_path, 3)
    with pytest.raises(InputError, match="holds evolve already: a pilot comes before it"):
        evolving(tmp_path, 3, "--pilot", "2")
    asked = len(models[EVOLVER].asked)
    evolving(tmp_path, 3, "--pilot", "2", "--fresh")
    assert len(models[EVOLVER].asked) > asked


def test_a_terminal_in_whose_background_it_runs_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = os.openpty()
    try:
        with open(ends[1], "w", closefd=False) as terminal:
            monkeypatch.setattr("sys.stdin", terminal)
            monkeypatch.setattr("sys.stderr", terminal)
            assert terminal.isatty() and not command._on_a_terminal()
    finally:
        for end in ends:
            os.close(end)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--no-pilot"], "which --no-pilot leaves out"),
        (["--dry-run"], "which --dry-run leaves out"),
        (["--profile", "paper"], "which --profile paper leaves out"),
        (["--method", "autoif", "--queries", "q"], "autoif has no profiles"),
    ],
)
def test_what_does_not_go_with_a_pilot(tmp_path: Path, typed: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        app(
            ["evolve", "s", "--model", EVOLVER, "--out", str(tmp_path / "r"), "--pilot", "2", *typed],
            standalone_mode=False,
        )
    assert not list(tmp_path.iterdir())
