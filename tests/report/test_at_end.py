"""The page at the end of demo, run and rank: its path comes last, and a page that cannot be made fails nothing."""

from pathlib import Path
from typing import Any

import pytest

from evolvent.commands import table
from evolvent.commands.table import COMMANDS
from evolvent.ranking.result import Ranked
from evolvent.recipe import RecipeRun
from evolvent.report import at_end
from evolvent.report.at_end import print_page
from evolvent.report.page import report
from tests.report.page.runs import whole_run


@pytest.fixture(autouse=True)
def _no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "browser_scripts", lambda: "window.vegaEmbed = () => {}")
    monkeypatch.setattr(at_end, "find_spec", lambda module: module)


def test_a_recipe_ends_with_the_path_of_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = whole_run(tmp_path / "run")
    COMMANDS["run"].show(RecipeRun(folder), {})
    assert capsys.readouterr().out.splitlines()[-1] == f"a page with its figures: {folder}/report.html"
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_rankings_and_the_demo_end_with_it_and_a_dry_run_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(table, "print_page", asked.append)
    monkeypatch.setattr("evolvent.report.demo.print_demo", lambda *_: None)
    ranked = Ranked(tmp_path / "ranking", tmp_path / "plan.json", {}, {}, [], {}, {})
    for name in ("rank teachers", "rank evolvers", "rank data"):
        COMMANDS[name].show(ranked, {})
    COMMANDS["demo"].show(RecipeRun(tmp_path / "demo"), {})
    COMMANDS["run"].show(RecipeRun(tmp_path / "run"), {"dry_run": True})
    assert asked == [*[tmp_path / "ranking"] * 3, tmp_path / "demo"]


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(at_end, "find_spec", lambda _: None)
    print_page(whole_run(tmp_path / "run"))
    [line] = capsys.readouterr().out.strip().splitlines()
    assert line.endswith(f"pip install 'evolvent[report]', then evolvent report {tmp_path / 'run'}")
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_page_that_cannot_be_made_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(report, "figures_of", fail)
    print_page(whole_run(tmp_path / "run"))
    assert capsys.readouterr() == ("", "warning: no page was written: no space left\n")
    (tmp_path / "empty").mkdir()
    print_page(tmp_path / "empty")  # of a recipe that only selects, say
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_ends_it_and_leaves_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "figures_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        print_page(whole_run(tmp_path / "run"))
    assert not (tmp_path / "run" / "report.html").exists()
