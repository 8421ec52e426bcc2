"""The help of every command, on a terminal of 80 columns."""

import pytest
from typer.testing import CliRunner

from evolvent.cli import app
from evolvent.commands.table import COMMANDS, made


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_named_in_full(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [command, "--help"]).output
    assert max(map(len, shown.splitlines())) <= 80
    options = [name for option in made(command, []).params for name in option.opts if name.startswith("--")]
    assert [name for name in options if f"{name} " not in shown] == []


def test_no_command_is_described_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "..." not in shown.partition("Commands:")[2]
