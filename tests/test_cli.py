"""What a command says when it ends steers no terminal."""

import sys

import pytest
import typer

from evolvent.cli import end_well
from evolvent.errors import CallError, printable

SAID = "HTTP 500: \x1b]0;mine\x07\x1b[2J\r\nno\r\u202eroom\x9b31m\u2028 \udcff"
SHOWN = "HTTP 500: \\x1b]0;mine\\x07\\x1b[2J\nno\\r\\u202eroom\\x9b31m\\u2028 \\udcff"


@pytest.mark.parametrize("debug", [False, True])
def test_what_others_wrote_is_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise CallError(SAID, fix="Look\nat \x1b[1mit.")

    monkeypatch.setattr(sys, "argv", ["evolvent", *["--debug"] * debug])
    with pytest.raises(SystemExit) as ended:
        end_well(app)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.endswith(f"error: {SHOWN}\nLook\nat \\x1b[1mit.\n")
    assert ("Traceback" in said) == debug
    assert all(character.isprintable() or character == "\n" for character in said)


def test_what_people_write_stays() -> None:
    text = "Datei „Übung\u00a01“, 第一\u3000行: `a\\b`\n\tüber 🧦"
    assert printable(text) == text.replace("\t", "\\t")
