"""``evolvent agent`` is complete, however the tool grows, and stays short."""

import re
from collections.abc import Iterator

import pytest

import evolvent
from evolvent.cli import app
from evolvent.commands.agent import agent
from evolvent.commands.table import COMMANDS, interface_of
from evolvent.errors import EvolventError
from evolvent.metrics.all_metrics import METRICS, columns_by_name
from evolvent.metrics.all_metrics import MODELS as NAMED_IN
from evolvent.models.output_breadth import COLUMNS as BREADTH
from evolvent.options import typed_name
from evolvent.recipe import FUNCTIONS
from evolvent.records import COLUMNS
from evolvent.stages import STAGES

TEXT = agent()


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}")[1].partition("\n## ")[0]


def paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """What stands behind each name at the beginning of a line, lines that are set in among it."""
    for found in re.finditer(r"(?m)^(\S.*(?:\n  .*)*)", text):
        name, _, rest = found[1].partition(": ")
        yield name, " ".join(rest.split())


GROUPS = dict(paragraphs(section("Groups")))
TOLD = {name.removeprefix("evolvent "): told for name, told in paragraphs(section("Commands"))}


def test_it_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    app(["agent", "--skill"], standalone_mode=False)
    head, _, text = capsys.readouterr().out.partition("\n---\n\n")
    lines = text.splitlines()
    assert lines == TEXT.splitlines() and head.startswith("---\nname: evolvent\ndescription: ")
    assert len(lines) <= 200, "leave words out: of agent.md.j2, or of the options' help"
    assert [line for line in lines if len(line) > 160] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_with_every_option(command: str) -> None:
    interface = interface_of(command)
    usage = " ".join(
        [command, *(f"[{one.metavar}]" if one.optional else str(one.metavar) for one in interface.arguments.values())]
    )
    told = TOLD[usage]
    assert told.startswith(COMMANDS[command].help)
    assert ("--json." in told) == COMMANDS[command].json
    without = re.search(r"Not: (.*?)\.", told)
    left_out = without[1].split(", ") if without else []
    assert {f"--{name.replace('_', '-')}" for name in interface.without} == set(left_out)
    further = re.search(r" \+ ([A-Z, ]+)\.", told)
    groups = " ".join(GROUPS[name] for name in further[1].split(", ")) if further else ""
    for method in interface.methods or [None]:
        part = told
        if method is not None:
            own = told.split(f"With --{interface.choice} {method}: ")[1].partition("With --")[0]
            part = told.partition("With --")[0] + own
        options = set(re.findall(r"(?:^|[.:] )(--[\w/-]+)", f"{part.strip()} {groups}")) - {*left_out, "--json"}
        wanted = {one.about.flag or typed_name(one) for one in interface.options(method).values() if one.about.typed}
        assert options == wanted


def test_every_column() -> None:
    told = " ".join(section("Columns").split())
    scores = {f"{name} (" for name in columns_by_name()}
    assert {name for name in (f"{name}: " for name in COLUMNS) if name not in told} == set()
    assert {name for name in {*scores, *NAMED_IN.values(), *(one.name for one in BREADTH)} if name not in told} == set()
    assert all(name in TEXT for name in METRICS)


def test_every_exit_status() -> None:
    def statuses(kind: type[EvolventError]) -> Iterator[int]:
        yield kind.exit_status
        for inner in kind.__subclasses__():
            yield from statuses(inner)

    told = re.findall(r"[.:] (\d+): [A-Z]", " ".join(section("Rules").partition("Exit statuses")[2].split()))
    assert set(map(int, told)) == {0, *statuses(EvolventError)}


def test_stages_and_the_recipe() -> None:
    told = [name if name in COMMANDS else f"{name} (part of evolve --method autoif)" for name in STAGES]
    assert [name for name in told if f"{name}: " not in section("Rules").replace("\n  ", " ")] == []
    assert [stage for stage in FUNCTIONS if f"{stage}, " not in section("Recipes")] == ["evaluate"]
    assert ", evaluate;" in section("Recipes")


def test_the_recipe_is_one(tmp_path: object) -> None:
    import yaml

    recipe = yaml.safe_load(section("Recipes").partition("\n")[2].partition("\nKeys")[0])
    assert set(recipe) == {"out", "evolve", "respond", "score", "select"}
    with pytest.raises(evolvent.EvolventError, match="URI"):  # its options are known; its models are names for others
        evolvent.run(recipe)
