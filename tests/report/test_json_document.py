"""What ``--json`` prints: strict JSON of what the commands return, with the keys that the docs name."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from typer.testing import CliRunner

import evolvent
from evolvent.call_store.log import StoredCall
from evolvent.cli import app
from evolvent.commands.look import Calls
from evolvent.commands.table import COMMANDS
from evolvent.environment import Finding
from evolvent.errors import InputError
from evolvent.evaluation.figures import Figure, Figures
from evolvent.ranking.order import Order, Standing
from evolvent.ranking.result import BaseRanking, Ranked, RankingVerdict, Tried
from evolvent.ranking.sufficiency import Learned
from evolvent.ranking.training_seeds import SeedAgreement
from evolvent.ranking.validate import Foretold, Validation
from evolvent.records import Record
from evolvent.report.contents import Contents, ScoreFigures, StageContents, Within
from evolvent.report.json_document import json_document
from evolvent.report.page.report import Report
from evolvent.runs.yields import Yield

PAGE = Path(__file__).parents[2] / "docs/for-programs.md"
CLASSES: dict[str, dict[str, Any]] = {
    "show": {
        "": Contents,
        "stages.*": StageContents,
        "stages.*.yields": Yield,
        "scores.*": ScoreFigures,
        "evaluated.*": Figures,
        "evaluated.*.figures.*": Figure,
        "examples.*.*": Record,
        "within.*": Within,
    },
    "report": {"": Report},
    "rank": {
        "": Ranked,
        "rankings.*": BaseRanking,
        "rankings.*.orders.*": Order,
        "rankings.*.orders.*.standings.*": Standing,
        "rankings.*.verdict": RankingVerdict,
        "rankings.*.trial": Tried,
        "rankings.*.trial.learned.*": Learned,
        "rankings.*.trial.agreement.*": SeedAgreement,
    },
    "rank validate": {"": Validation, "foretold.*": Foretold},
    "doctor": {"*": Finding},
    "calls": {"": Calls, "calls.*": StoredCall},
}


def documented(command: str) -> dict[str, list[str]]:
    """For each object of a command's document its keys, as the page names them, sorted."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n### {command}\n")[1].partition("\n###")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    named = {place.strip("`").replace("the document", ""): re.sub(r"\([^)]*\)", "", keys) for place, keys in rows}
    return {place: sorted(re.findall(r"`(\w+)`", keys)) for place, keys in named.items() if place or "`" in keys}


@pytest.mark.parametrize("command", CLASSES)
def test_the_keys_are_those_of_the_page(command: str) -> None:
    assert documented(command) == {place: sorted(_names(kind)) for place, kind in CLASSES[command].items()}


def test_every_object_that_may_come_is_on_the_page() -> None:
    told = {kind for of in CLASSES.values() for kind in of.values()}
    assert {inner for kind in told for inner in _inside(kind)} <= told
    assert {name.replace("rank evolvers", "rank") for name, one in COMMANDS.items() if one.json} - {
        "rank teachers",
        "rank data",
    } == set(CLASSES)


def _names(kind: Any) -> Iterator[str]:
    return iter(kind._fields) if hasattr(kind, "_fields") else (field.name for field in fields(kind))


def _inside(kind: Any) -> Iterator[Any]:
    """The classes of the attributes of a class."""
    hints = get_type_hints(kind, localns={one.__name__: one for of in CLASSES.values() for one in of.values()})
    todo = list(hints.values())
    while todo:
        hint = todo.pop()
        todo += get_args(hint)
        if is_dataclass(hint) or hasattr(hint, "_fields"):
            yield hint


def _at(place: str, found: Any) -> Iterator[Any]:
    """What a document holds at a place."""
    if place:
        first, _, rest = place.partition(".")
        inner = found.values() if isinstance(found, dict) else found
        for one in inner if first == "*" else [found[first]]:
            yield from _at(rest, one)
    elif found is not None:
        yield found


def strictly(text: str) -> Any:
    def refused(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refused)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json") / "run"
    rows = [{"instruction": f"What is {n} plus 4?", "output": "A sock."} for n in range(3)]
    evolvent.evolve(rows, model="embedded", rounds=1, out=folder)
    evolvent.score(rows, base_model="embedded-base", out=folder)
    return folder


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("show", ["show", "RUN", "--examples", "2"]),
        ("calls", ["calls", "RUN", "--limit", "2"]),
        ("calls", ["calls", "RUN", "--out", "RUN/calls.jsonl"]),
        ("rank validate", ["rank", "validate", "stronger_models", "--draws", "100"]),
        ("doctor", ["doctor"]),
    ],
)
def test_standard_output_holds_one_document(run: Path, command: str, typed: list[str]) -> None:
    ended = CliRunner().invoke(app, [*(word.replace("RUN", str(run)) for word in typed), "--json"])
    assert ended.exit_code == 0, ended.output
    found = strictly(ended.stdout)
    objects = [(place, one) for place in documented(command) for one in _at(place, found)]
    assert objects and all(sorted(one) == documented(command)[place] for place, one in objects)
    if command == "show":
        assert found["stages"]["evolve"]["counts"] == evolvent.show(run).stages["evolve"].counts
        assert [len(one) for one in found["examples"]] == [2, 2]
    if command == "calls":
        lines = (run / "calls.jsonl").read_text().splitlines() if found["out"] else []
        assert (found["total"] > 2 and len(found["calls"]) == 2) or found["total"] == len(lines)


def test_an_error_is_said_elsewhere(run: Path, tmp_path: Path) -> None:
    for typed, words in (
        (["show", str(tmp_path)], "is not a run folder"),
        (["calls", str(run), "--out", "-"], "both write to standard output"),
    ):
        ended = CliRunner().invoke(app, [*typed, "--json"])
        assert isinstance(ended.exception, InputError) and words in str(ended.exception)
        assert ended.stdout == ""


def test_what_json_has_no_form_for() -> None:
    odd = {
        1: (float("nan"), -float("inf"), np.float64(0.5), np.int64(7), True, None, 1 << 70),
        "text": "第一 \ud83d \x1b[31m \x9b \u202e \x00 \n",
        "path": Path("a\udcff/b"),
        "score": ScoreFigures(1, 0, float("nan")),
        "finding": (Finding(str(n), True, "") for n in range(2)),
    }
    written = json_document(odd)
    assert all(sign.isprintable() or sign == "\n" for sign in written.decode())
    found = strictly(written.decode())
    assert found["1"] == [None, None, 0.5, 7, True, None, 1 << 70]
    assert found["text"] == "第一 \ufffd \x1b[31m \x9b \u202e \x00 \n" and "第一" in written.decode()
    assert (found["path"], found["score"]["mean"]) == ("a\ufffd/b", None)
    assert [one["subject"] for one in found["finding"]] == ["0", "1"]
    with pytest.raises(TypeError, match="object has no form in JSON"):
        json_document(object())
