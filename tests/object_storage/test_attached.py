"""Commands on URLs: stages on one node after another, shards on several, and files that are no run's."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.exporting.export import export
from evolvent.merge_run import merge
from evolvent.object_storage.attached import attached
from evolvent.object_storage.urls import copies, place_of
from evolvent.recipe import run
from evolvent.report.show import show
from evolvent.responses.respond import respond
from evolvent.runs.convert import convert
from evolvent.runs.manifest import read_manifest
from evolvent.selection.select import select
from tests.object_storage.conftest import Node
from tests.runs.staged import EVOLVER, TEACHER, asked_in, breaking_after, evolved, longer, undisturbed, write_seeds
from tests.scripted import Opened

RUN = "memory://bucket/run"


@pytest.fixture
def seeds(memory: Any, tmp_path: Path, node: Node) -> str:
    memory.pipe_file("/bucket/in/seeds.jsonl", write_seeds(tmp_path, range(18)).read_bytes())
    return "memory://bucket/in/seeds.jsonl"


def test_values_that_are_no_paths_stay(seeds: str) -> None:
    given = {"data": seeds, "several": [seeds, "x"], "named": {"a": seeds}, "model": seeds, "limit": 3}
    with attached(given, {"data", "several", "named", "limit"}) as here:
        place = str(place_of(seeds))
        assert here == {"data": place, "several": [place, "x"], "named": {"a": place}, "model": seeds, "limit": 3}


def test_each_stage_may_be_made_on_another_node(
    memory: Any, node: Node, models: Opened, seeds: str, tmp_path: Path
) -> None:
    done = evolved(seeds, RUN)  # type: ignore[arg-type]
    assert done.output.is_relative_to(copies())
    assert read_manifest(done.path)["evolve"].input["source"] == seeds
    node("second")
    respond(RUN, teacher=TEACHER, out=RUN)
    assert asked_in(models[TEACHER]) == 18
    node("third")
    before = memory.info("/bucket/run/responses.parquet")["created"]
    assert respond(RUN, teacher=TEACHER, out=RUN).already_done and show(RUN).stages["respond"].state == "done"
    select(f"{RUN}/responses.parquet", by="seed_index", top="4", out="memory://bucket/chosen.jsonl")
    export("memory://bucket/chosen.jsonl", trainer="trl", base_model="hf:org/model", out="memory://bucket/exported")
    convert(seeds, "memory://bucket/in/seeds.csv", to="alpaca")
    assert memory.cat_file("/bucket/run/evolved.parquet") == undisturbed(tmp_path, tmp_path / "seeds.jsonl")
    assert len(memory.cat_file("/bucket/chosen.jsonl").splitlines()) == 4
    assert memory.cat_file("/bucket/in/seeds.csv").count(b"sock") == 18 and memory.isfile(
        "/bucket/exported/train.jsonl"
    )
    assert memory.info("/bucket/run/responses.parquet")["created"] == before
    assert not any(memory.exists(f"/bucket/{name}/.lease") for name in ("run", "exported"))


def test_shards_of_several_nodes_are_merged_on_one_more(
    memory: Any, node: Node, models: Opened, seeds: str, tmp_path: Path
) -> None:
    for number in (3, 1, 2):
        node(f"of-{number}")
        evolved(seeds, RUN, shard=f"{number}/3", rounds=2)  # type: ignore[arg-type]
    node("merging")
    [done] = merge(RUN)
    whole = undisturbed(tmp_path, tmp_path / "seeds.jsonl", rounds=2)
    assert done.output.read_bytes() == memory.cat_file("/bucket/run/evolved.parquet") == whole


def test_a_lost_node_costs_the_calls_since_the_last_save_and_no_row(
    memory: Any, node: Node, models: Opened, seeds: str, tmp_path: Path
) -> None:
    class Lost(BaseException):
        """The node is gone."""

    models[EVOLVER].reply = breaking_after(7, Lost())
    with pytest.raises(Lost):
        evolved(seeds, RUN)  # type: ignore[arg-type]
    saved = asked_in(models[EVOLVER])
    assert saved >= 7  # the process ended in good order, and saved
    node("second")
    models[EVOLVER].reply = longer
    evolved(seeds, RUN)  # type: ignore[arg-type]
    assert asked_in(models[EVOLVER]) == 18 - 7
    assert memory.cat_file("/bucket/run/evolved.parquet") == undisturbed(tmp_path, tmp_path / "seeds.jsonl")


def test_a_recipe_is_run_into_a_store(memory: Any, node: Node, models: Opened, seeds: str, tmp_path: Path) -> None:
    stages = {
        "out": RUN,
        "evolve": {"seeds": seeds, "model": EVOLVER, "rounds": 1},
        "respond": {"teacher": TEACHER},
        "select": {"data": f"{RUN}/responses.parquet", "by": "seed_index", "top": "3"},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(stages))
    memory.put_file(str(tmp_path / "recipe.yaml"), "/bucket/recipe.yaml")
    assert run("memory://bucket/recipe.yaml").stages.keys() == {"evolve", "respond", "select"}
    node("second")
    again = run(stages)
    assert again.stages["respond"].already_done and memory.exists("/bucket/run/selected.jsonl")


def test_urls_in_rows_and_in_texts_of_a_recipe_are_texts(node: Node, models: Opened, tmp_path: Path) -> None:
    row = {"instruction": "What is there?", "input": "https://no-such-host.invalid/page"}
    convert([row], tmp_path / "rows.jsonl", to="alpaca")
    assert json.loads((tmp_path / "rows.jsonl").read_text())["input"] == row["input"]
    with attached(
        {"recipe": {"respond": {"system": "See memory://bucket/no"}}, "data": [row]}, {"recipe", "data"}
    ) as here:
        assert here == {"recipe": {"respond": {"system": "See memory://bucket/no"}}, "data": [row]}


def test_a_file_that_is_read_saves_none_beside_it(memory: Any, node: Node) -> None:
    for name in ("seeds.jsonl", "seeds.csv"):
        memory.pipe_file(f"/bucket/in/{name}", b"one")
        with attached({"data": f"memory://bucket/in/{name}"}, {"data"}):
            pass
    memory.pipe_file("/bucket/in/seeds.csv", b"another's")
    with attached({"data": "memory://bucket/in/seeds.jsonl"}, {"data"}):
        pass
    assert memory.cat_file("/bucket/in/seeds.csv") == b"another's"


def test_what_is_written_beside_a_file_goes_with_it(memory: Any, node: Node, seeds: str) -> None:
    with attached({"out": "memory://bucket/chosen.jsonl"}, {"out"}) as here:
        Path(here["out"]).write_text("rows")
        Path(here["out"]).with_suffix(".selection.json").write_text("{}")
    assert memory.cat_file("/bucket/chosen.selection.json") == b"{}" and memory.exists("/bucket/chosen.jsonl")


def test_a_page_goes_to_the_store_and_nothing_of_the_run_with_it(
    memory: Any, node: Node, models: Opened, seeds: str
) -> None:
    evolved(seeds, RUN)  # type: ignore[arg-type]
    node("second")
    with attached({"run": RUN}, {"run"}):
        (place_of(RUN) / "page.html").write_text("a page, slowly made")
        node("third")
        respond(RUN, teacher=TEACHER, out=RUN)
        node("second")
    assert memory.cat_file("/bucket/run/page.html") == b"a page, slowly made"
    node("fourth")
    assert respond(RUN, teacher=TEACHER, out=RUN).already_done


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("memory://bucket/no.jsonl", "There is no file"),
        ("memory://bucket/in", "memory://bucket/in is a folder"),
        ("nosuch://bucket/x.jsonl", "nosuch:// cannot be used"),
        ("memory://bucket/../x.jsonl", "no file's name"),
    ],
)
def test_what_cannot_be_read(seeds: str, data: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evolved(data, Path("never"))  # type: ignore[arg-type]


@pytest.mark.parametrize("out", ["hf://datasets/org/name", "https://host/run"])
def test_what_cannot_be_written_is_refused_before_anything_is_asked(seeds: str, models: Opened, out: str) -> None:
    with pytest.raises(InputError, match="is only read"):
        evolved(seeds, out)  # type: ignore[arg-type]
    assert models[EVOLVER].asked == []
