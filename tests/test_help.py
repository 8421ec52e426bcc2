"""The help of every command, on a terminal of 80 columns."""

import pytest
from typer.testing import CliRunner

from evolvent.cli import app
from evolvent.commands.table import COMMANDS, made
from evolvent.metrics.all_metrics import METRICS
from evolvent.metrics.options import TOLD
from evolvent.metrics.score import score

METHODS = [["--method", method] for method in ("evol-instruct", "auto-evol-instruct", "autoif")]


@pytest.mark.parametrize(
    "command", [*([name] for name in sorted(COMMANDS)), *(["evolve", *method] for method in METHODS)]
)
def test_every_option_is_named_in_full(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*" ".join(command).split(), "--help"]).output
    assert max(map(len, shown.splitlines())) <= 80
    parameters = [option for option in made(command[0], command[1:]).params if not getattr(option, "hidden", False)]
    options = [name for option in parameters for name in option.opts if name.startswith("--")]
    assert [name for name in options if f"{name} " not in shown] == []


def test_every_metric_that_can_be_asked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = {name: words for metrics in TOLD.values() for name, words in metrics.items()}
    assert set(told) == {name for name, metric in METRICS.items() if not metric.always}
    shown = CliRunner().invoke(app, ["score", "--help"]).output
    assert all(f"    {name:<16} {words}\n" in shown for name, words in told.items())
    assert "win              whether" in str(score.__doc__)


def test_no_command_is_described_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "..." not in shown.partition("Commands:")[2]
