"""Every option is written once, and is there on the command line, in Python and in recipes, with the same help."""

import ast
import inspect
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import evolvent
from evolvent.cli import app
from evolvent.commands.table import COMMANDS, interface_of, made
from evolvent.errors import InputError
from evolvent.options import Interface, Option, typed_name
from evolvent.recipe import COMMON, FUNCTIONS, run, taken_by

METHODS = ("evol-instruct", "auto-evol-instruct", "autoif")
# Each command, with each of its methods.
FACES = [
    pytest.param(name, method, id=f"{name} {method or ''}".strip())
    for name in COMMANDS
    for method in (interface_of(name).methods or [None])
]
HEAVY = ("torch", "transformers", "datasets", "pyarrow", "numpy", "scipy", "aiohttp", "uvloop", "jinja2")


def options_of(command: str, method: str | None) -> dict[str, Option]:
    return interface_of(command).options(method)


def function_of(interface: Interface) -> Any:
    return getattr(import_module(interface.module), interface.name)


@pytest.mark.parametrize(("command", "method"), FACES)
def test_on_the_command_line(command: str, method: str | None) -> None:
    typed = [] if method is None else ["--method", method]
    shown = {one.name: one for one in made(command, typed).params if not getattr(one, "hidden", False)}
    interface = interface_of(command)
    wanted = {name: one for name, one in options_of(command, method).items() if one.about.typed}
    assert set(shown) - {"help", "ctx", *(["json"] if COMMANDS[command].json else [])} == {
        *interface.arguments,
        *wanted,
    }
    for name, one in wanted.items():
        assert shown[name].help.startswith(one.about.help.removesuffix(".")), name
        assert shown[name].required == (one.required and one.method is None)
        assert shown[name].help.endswith(" [required]") == (one.required and one.method is not None)
        assert len(one.about.help) > 5 and one.about.help[0].isalpha() and one.about.help.endswith("."), name
    assert {name for name, one in options_of(command, method).items() if not one.about.typed} <= {"progress"}


@pytest.mark.parametrize(("command", "method"), FACES)
def test_in_python(command: str, method: str | None) -> None:
    function = function_of(interface_of(command))
    parameters, told = inspect.signature(function).parameters, " ".join((function.__doc__ or "").split())
    for name, one in options_of(command, method).items():
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert f" {name}: {' '.join(one.about.text.split())}" in told, name


def test_the_functions_of_the_package_are_those_of_the_commands() -> None:
    commands = {interface_of(name).name for name in COMMANDS} - {"demo"}
    assert commands - {"agent"} <= set(evolvent.__all__)


@pytest.mark.parametrize("stage", FUNCTIONS)
def test_in_recipes(stage: str) -> None:
    interface = FUNCTIONS[stage].interface
    for method in interface.methods or [None]:
        assert set(interface.options(method)) - {*COMMON, "preview"} <= set(taken_by(stage))
    assert set(COMMON) <= set(inspect.signature(run).parameters)


@cache
def texts_of_the_source() -> Counter[str]:
    """Every text in the source, and how often it is written."""
    files = Path(evolvent.__file__).parent.rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return Counter(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize(("command", "method"), FACES)
def test_each_is_written_once(command: str, method: str | None) -> None:
    texts = texts_of_the_source()
    for name, one in options_of(command, method).items():
        pieces = [text for text in texts if len(text) > 4 and one.about.help.startswith(text)]  # more of an f-string
        assert pieces, name
        assert texts[max(pieces, key=len)] == 1, name


def test_only_one_module_makes_parameters() -> None:
    source = Path(evolvent.__file__).parent
    files = {file.relative_to(source).as_posix() for file in source.rglob("*.py") if "typer.Opt" in file.read_text()}
    assert files == {"cli.py", "commands/parameters.py"}  # --debug and --version are no function's


@pytest.mark.parametrize(
    "typed", [*(name.split() for name in COMMANDS), *(["evolve", "--method", one] for one in METHODS)]
)
def test_help_imports_nothing_heavy(typed: list[str]) -> None:
    script = f"""
import sys
sys.argv = ["evolvent", *{typed!r}, "--help"]
from evolvent.cli import main
try:
    main()
except SystemExit:
    pass
assert not [name for name in {HEAVY!r} if name in sys.modules], [name for name in {HEAVY!r} if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: evolvent {' '.join(typed[:2] if typed[0] == 'rank' else typed[:1])} ")


@pytest.mark.parametrize("typed", [["--method", "autoif", "--help"], ["--help", "--method", "autoif"]])
def test_the_help_of_a_method(typed: list[str]) -> None:
    shown = CliRunner().invoke(app, ["evolve", *typed]).output
    assert "--queries DATA" in shown and "--model URI" in shown and "--no-breadth" not in shown
    assert "These are the options of autoif; more with --method evol-instruct --help" in " ".join(shown.split())
    assert "--queries" not in CliRunner().invoke(app, ["evolve", "--help"]).output


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--queries", "q"], "--queries is an option of autoif, not of evol-instruct"),
        (["--method", "autoif", "--queries", "q", "--no-breadth"], "--no-breadth is an option of evol-instruct, not"),
        (
            ["--method=autoif", "--queries", "q", "--rounds", "2"],
            "--rounds is an option of evol-instruct and auto-evol",
        ),
        (["--method", "auto-evol-instruct", "--samples", "1"], "--samples is an option of autoif, not of auto-evol-"),
        (["--method", "evolve"], "unknown method 'evolve'"),
        (["--method", "autoif"], "autoif needs --queries\n--queries: The data whose questions"),
        (["--method", "autoif", "--rounds", "2"], "--rounds is an option of evol-instruct and auto-evol"),
        (["--method", "autoif", "--queries", "q", "--rule", "prompts=x"], "rule prompts is 'x': it is a whole number"),
        (["--rule", "a"], "--rule 'a' is not KEY=VALUE\nWrite a name, = and the value: --rule NAME=a"),
        (["--operators", "depth,"], "--operators 'depth,' lacks a name"),
        (["--extra-body", "{"], "--extra-body is not JSON"),
        (["--temperature", "nan"], "--temperature is nan"),
        (["--top-p", "0"], "--top-p is 0"),
        (["--budget", "inf"], "--budget is inf"),
        (["--max-tokens-per-minute", "0"], "--max-tokens-per-minute is 0"),
    ],
)
def test_what_is_typed_and_cannot_be(tmp_path: Path, typed: list[str], words: str) -> None:
    ended = CliRunner().invoke(app, ["evolve", "seeds", "--model", "embedded", "--out", str(tmp_path / "r"), *typed])
    assert isinstance(ended.exception, InputError)
    assert words in str(ended.exception)
    assert not list(tmp_path.iterdir())


def test_an_option_of_another_method_is_refused_whatever_its_value(tmp_path: Path) -> None:
    for given in ({"samples": 0}, {"unsafe_execution": False}, {"rule": {}}):
        with pytest.raises(InputError, match="is an option of autoif, not of evol-instruct\nLeave it out"):
            evolvent.evolve("seeds", model="embedded", out=tmp_path / "r", **given)
    with pytest.raises(InputError, match="rounds is 0\nIt is at least 1"):
        evolvent.evolve("seeds", model="embedded", out=tmp_path / "r", rounds=0)
    with pytest.raises(InputError, match="evol-instruct has no profile 'paper1'\nKnown are: default, small, paper"):
        evolvent.evolve("seeds", model="embedded", out=tmp_path / "r", profile="paper1")


@pytest.mark.parametrize("name", [name for name in COMMANDS if "progress" in interface_of(name).options()])
def test_a_command_shows_its_progress_as_standard_error_allows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interface, given = interface_of(name), dict[str, Any]()

    def function(**options: Any) -> None:
        given.update(options)

    function.interface = interface  # type: ignore[attr-defined]
    monkeypatch.setattr(f"{interface.module}.{interface.name}", function)
    monkeypatch.setitem(COMMANDS, name, COMMANDS[name]._replace(show=lambda *_: None))
    needed = [word for one in interface.options().values() if one.required for word in (typed_name(one), "1")]
    ended = CliRunner().invoke(app, [*name.split(), *["a=data" for _ in interface.arguments], *needed])
    assert ended.exit_code == 0, ended.output
    assert callable(given["progress"])
