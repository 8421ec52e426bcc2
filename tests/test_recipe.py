import json
from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import CallError, InputError
from evolvent.evolution.evolve import evolve
from evolvent.models import models as opened_models
from evolvent.models.protocols import Sampling
from evolvent.recipe import run
from evolvent.report.printing import print_estimates
from evolvent.runs.manifest import read_manifest
from evolvent.runs.run import Run
from tests.scripted import Opened

AUTOIF = "evolve: {method: autoif, model: embedded, queries: q.jsonl}\n"


def recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no stages"),
        ("- a\n- b", "holds no stages"),
        ("out: [", r"recipe \S+recipe\.yaml is not YAML: line 1, column 7: expected .*\nCorrect it there\."),
        ("out: r\nevolve:\n\tmodel: a", r"is not YAML: line 3, column 1: found character '\\t' that .*\n.*not tabs"),
        ("out: r\nevolve: \0", r"is not YAML: line 2, column 9: special characters are not allowed\n"),
        ("out: " + "[" * 5000, "is not YAML"),
        ("out: r\nevolve: &a {seeds: *a}", "is not YAML"),
        ("out: r\nevolve: {seeds: 2020-13-01}", "is not YAML: month must be in 1"),
        (f"out: r\nevolve: {{rounds: {'9' * 5000}}}", "is not YAML"),
        ("evolve: {}", "no run folder is named"),
        ("out: r\n", "no stage is named"),
        ("out: r\nevolv: {}\n", r"recipe\.yaml, line 2: unknown key 'evolv'"),
        ("out: r\nevolve:\n  seeds: a.jsonl\n", r"line 2: evolve lacks model"),
        ("out: r\nevolve:\n  seeds: a\n  model: embedded\n  ronds: 3\n", r"line 5: evolve has no option 'ronds'"),
        ("out: r\nevolve:\n  seeds: a\n  model: embedded\n  rounds: many\n", r"line 5: evolve\.rounds is 'many'"),
        ("out: r\nevolve: 3\n", "line 2: evolve holds no options"),
        ("out: r\nevolve:\n  model: embedded\n  nope: 1\n  ronds: 3\n", r"line 4: .*'nope'\n.*line 5: .*'ronds'"),
        ("out: r\nevolve:\n  seeds: a\n  model: embedded\n  samples: 0\n", r"line 5: --samples is an option of autoif"),
        (
            "out: r\nevolve:\n  seeds: a\n  model: embedded\n  rule: a\n  method: autoif\n  queries: q",
            r"line 5: rule 'a' is not KEY=V",
        ),
        ("out: r\nevolve:\n  model: embedded\n  fresh: true\n", r"line 4: evolve has no option 'fresh'"),
        ("out: r\nevolve: {method: autoif, model: embedded}", r"line 2: evolve lacks queries"),
        (f"out: r\n{AUTOIF[:-2]}, rule: {{prompts: x}}}}", r"line 2: rule prompts is 'x'"),
        (f"out: r\n{AUTOIF[:-2]}, samples: 2, rule: {{samples: 3}}}}", r"line 2: --samples and --rule samples=N say"),
        ("out: r\nevolve: {seeds: a, model: embedded, method: evolve}", "line 2: unknown method 'evolve'"),
        ("out: r\nselect: {by: ifd, top: 0}", "line 2: top '?0'? is neither"),
        ("out: r\nselect:\n  by: ifd\n  where: 3\n  top: 5%", r"line 4: select\.where"),
        ("out: r\nselect:\n  by: ifd\n  where: [ifd<<2]\n  top: 5%", r"line 4: where 'ifd<<2'"),
        ("out: r\nselect:\n  by: ifd\n  best_per: prompt\n  top: 5%", r"line 4: best_per 'prompt' is not known"),
        ("out: r\nrespond:\n  teacher: [embedded, embeded]", r"line 3: unknown model"),
        ("out: r\nscore: {base_model: embedded-base, metrics: [iffd]}", r"line 2: unknown metric iffd"),
        ("out: r\nscore: {base_model: embedded-base}", "score reads the run folder r, which is not there"),
        ("out: ./r\nselect: {by: ifd, top: 5%}", r"select reads the run folder \./r, which is not there"),
        ("out: r\nevolve: {seeds: [a, b], model: embedded}", r"line 2: \['a', 'b'\] is no data"),
        ("out: r\nevolve: {seeds: , model: embedded}", "line 2: evol-instruct needs seeds"),
        ("out: r\nevolve:\n  seeds: a\n  model: hf:./gone", r"line 4: model hf:\./gone: there is no folder \./gone"),
        ("out: r\nevolve: {seeds: a, model: embedded-base}", "line 2: embedded-base is a base model"),
        ("out: r\nrespond: {teacher: [embedded, vllm:/no/where/m]}", "there is no folder /no/where/m"),
        ("out: r\nrespond: {teacher: embedded, temperature: 9}", r"line 2: respond\.temperature is 9"),
        ("out: r\nscore: {base_model: hf:../gone}", r"there is no folder \.\./gone"),
        ("out: r\nscore: {base_model: embedded-base, layout: papyrus}", "line 2: unknown layout 'papyrus'"),
        ("out: r\nscore: {data: d}", "line 2: ifd needs a base model\nName a base model: --base-model URI"),
        (
            "out: r\nevolve:\n  seeds: s\n  model: embedded\nrespond: {teacher: embedded}\nscore: {}",
            "line 6: ifd needs a base model",  # before anything is paid
        ),
        ("out: r\nevolve: {seeds: a, model: embedded, map: {instruction: 5}}", r"line 2: evolve\.map is {'instr"),
        (
            "out: r\nevolve: {model: embedded, method: autoif, queries: q, rule: {prompts: x}}",
            "line 2: rule prompts is 'x'",
        ),
        ("out: r\nselect: {by: ifd, top: 5%, to: alpakka}", "line 2: .*alpakka"),
        (f"out: r\n{AUTOIF}respond: {{teacher: embedded}}", "AutoIF answers its instructions itself"),
        (
            f"out: r\n{AUTOIF}respond: {{teacher: embedded, data: other.jsonl}}",
            "AutoIF answers its instructions itself",
        ),
        (f"out: r\n{AUTOIF}score: {{base_model: embedded-base}}", r"no file q\.jsonl"),  # nothing is wrong before that
        ("out: r\nevolve: {seeds: a, model: embedded, profile: x}", "line 2: evol-instruct has no profile 'x'"),
        ("out: r\nevolve: {seeds: a, model: embedded, operators: [nope]}", "line 2: no prompt template named 'nope'"),
        (
            "out: r\nevolve: {seeds: a, model: embedded, operators: [breadth],\n  breadth: false}",
            "line 2: --operators names breadth",
        ),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(recipe(tmp_path, text))
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_all_stages_are_checked_before_the_first_runs(tmp_path: Path) -> None:
    text = f"out: {tmp_path}/r\nevolve: {{seeds: nowhere.jsonl, model: embedded}}\nscore: {{base: x}}\n"
    with pytest.raises(InputError, match="score has no option 'base'"):
        run(recipe(tmp_path, text))


def test_set_replaces_and_adds(tmp_path: Path) -> None:
    path = recipe(tmp_path, f"out: {tmp_path}/r\nevolve: {{seeds: nowhere.jsonl, model: nope}}\n")
    with pytest.raises(InputError, match="unknown model 'nope'"):
        run(path)
    with pytest.raises(InputError, match="rounds is 0"):
        run(path, set={"evolve.model": "embedded", "evolve.rounds": "0"})


def test_values_of_set_that_are_no_yaml(tmp_path: Path) -> None:
    path = recipe(tmp_path, f"out: {tmp_path}/r\nevolve: {{seeds: s.jsonl, model: embedded}}\n")
    with pytest.raises(InputError, match=r"--set evolve\.seeds: '\[x' is not YAML: line 1, column 3: expected"):
        run(path, set={"evolve.seeds": "[x"})


def test_a_stage_whose_input_nothing_makes(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    path = recipe(tmp_path, f"out: {tmp_path}/r/\nscore: {{base_model: embedded-base}}\n")
    with pytest.raises(InputError, match=r"score reads .*/r/responses\.parquet, which nothing makes") as caught:
        run(path)
    assert caught.value.fix == "Add respond."


def test_python_may_give_rows_instead_of_a_file(tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": "a", "s": n} for n in range(3)]
    done = run({"out": str(tmp_path), "select": {"data": rows, "by": "s", "top": 1}})
    assert done.stages["select"].counts["selected"] == 1


URL = "?base_url=http://host:1/v1"
PATH = f"""
out: r
evolve: {{seeds: seeds.jsonl, model: "openai:evolver{URL}", rounds: 1}}
respond: {{teacher: "openai:teacher{URL}"}}
"""


def working(prompt: str, _: Sampling) -> str:
    thing, later = ("bike" if "bike" in prompt else "sock"), "steps" in prompt
    return (
        f"How do I mend my {thing} in {len(prompt)} steps, with {'glue, rope and tape' if later else 'wool and wax'}?"
    )


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The models of PATH, and its seeds: the evolver fails for one of the two until its reply is ``working``."""

    def failing(prompt: str, _: Sampling) -> str:
        if "bike" in prompt:
            raise CallError("server said no")
        return working(prompt, _)

    opened = Opened((f"openai:evolver{URL}", f"openai:teacher{URL}"), lambda *_: "With wool.")
    opened[f"openai:evolver{URL}"].reply = failing
    monkeypatch.setattr(opened_models, "open_chat", opened.open_chat)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Mend a sock"}\n{"instruction": "Mend a bike"}\n')
    return opened


@pytest.mark.parametrize(
    ("how", "answered"),
    [
        ({"retry_failed": True}, 2),
        ({"fresh": True}, 2),
        ({"set": {"evolve.rounds": 2}, "fresh": True}, 4),
    ],
)
def test_what_comes_after_a_stage_that_came_out_otherwise_is_made_anew(
    tmp_path: Path, models: Opened, how: dict[str, Any], answered: int
) -> None:
    path = recipe(tmp_path, PATH)
    first = run(path).stages
    assert [first[stage].counts["ok"] for stage in first] == [1, 1]
    models[f"openai:evolver{URL}"].reply = working
    assert {done.already_done for done in run(path).stages.values() if isinstance(done, Run)} == {True}
    again = run(path, **how).stages["respond"]
    assert (again.counts["instructions"], again.counts["ok"]) == (answered, answered)


def test_a_stage_by_itself_is_followed_by_the_plain_recipe(tmp_path: Path, models: Opened) -> None:
    path = recipe(tmp_path, PATH)
    run(path)
    models[f"openai:evolver{URL}"].reply = working
    evolve("seeds.jsonl", model=f"openai:evolver{URL}", rounds=1, out="r", retry_failed=True)
    done = run(path).stages
    assert isinstance(done["evolve"], Run)
    assert done["evolve"].already_done
    assert done["respond"].counts["ok"] == 2


def test_a_stage_may_be_there_again_under_a_name(tmp_path: Path, models: Opened) -> None:
    """It works in a folder of that name, and reads what a stage of that name made, else what the plain one made."""
    text = f"""{PATH}
respond:briefly: {{teacher: "openai:teacher{URL}", system: Be brief.}}
select: {{by: seed_index, top: 1, data: r/responses.parquet, out: r/plain.jsonl}}
evolve:again: {{seeds: r/plain.jsonl, model: "openai:evolver{URL}", rounds: 1}}
respond:again: {{teacher: "openai:teacher{URL}"}}
"""
    path = recipe(tmp_path, text)
    models[f"openai:evolver{URL}"].reply = working
    done = run(path).stages
    assert list(done) == ["evolve", "respond", "respond:briefly", "select", "evolve:again", "respond:again"]
    outputs = {key: str(one.output) for key, one in done.items() if isinstance(one, Run)}
    assert outputs["respond:briefly"] == "r/briefly/responses.parquet"
    assert outputs["respond:again"] == "r/again/responses.parquet"
    rows = {key: [record.instruction for record in one] for key, one in done.items() if isinstance(one, Run)}
    assert rows["respond:briefly"] == rows["respond"] != []
    assert rows["respond:again"] == [record.instruction for record in done["evolve:again"] if record.round]  # type: ignore[union-attr]
    assert {one.already_done for one in run(path).stages.values()} == {True}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "respond: {teacher: embedded}\nevolve: {seeds: s, model: embedded}",
            "line 2: respond reads what evolve makes",
        ),
        (
            "evolve: {seeds: s, model: embedded}\nrespond: {teacher: embedded}\nscore:b: {base_model: embedded-base}\n"
            "respond:b: {teacher: embedded}",
            "line 4: score:b reads what respond:b makes",
        ),
        ("evolve:a/b: {seeds: s, model: embedded}", "line 2: 'evolve:a/b' names no folder"),
        ("evolve:..: {seeds: s, model: embedded}", "names no folder"),
        ("evlove:a: {seeds: s, model: embedded}", "unknown key 'evlove:a'"),
        ("score:b: {base_model: embedded-base}", "score:b reads the run folder r, which is not there"),
    ],
)
def test_keys_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        run(recipe(tmp_path, f"out: r\n{text}\n"))


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recipe"):
        run(tmp_path / "none.yaml")


def test_a_text_may_stand_for_a_number_and_as_it_would_be_typed(tmp_path: Path, models: Opened) -> None:
    options = "map: instruction=q, temperature: 5e-1, max_tokens: '99', extra_body: '{\"top_k\": 3}'"
    (tmp_path / "seeds.jsonl").write_text('{"q": "Mend a sock", "id": 1}\n')
    run(recipe(tmp_path, f'out: r\nevolve: {{seeds: seeds.jsonl, model: "openai:evolver{URL}", {options}}}\n'))
    settings = json.loads((tmp_path / "r" / "manifest.json").read_text())["stages"]["evolve"]["settings"]
    assert (settings["temperature"], settings["max_tokens"], settings["extra_body"]) == (0.5, 99, {"top_k": 3})


def test_select_takes_a_number_and_a_single_condition(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(
        "".join(f'{{"instruction": "q{n}", "output": "a", "s": {n}}}\n' for n in range(5))
    )
    text = f"out: {tmp_path}\nselect: {{data: {tmp_path}/data.jsonl, by: s, top: 2, where: s<4}}\n"
    done = run(recipe(tmp_path, text))
    assert done.stages["select"].counts == {"rows": 5, "where not met": 1, "competing": 4, "selected": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("out: run\nevolve: {rounds: 3}\nevolve: {rounds: 2}\n", "line 3: evolve is given twice, first on line 2"),
        ("out: run\nevolve:\n  rounds: 2\n  rounds: 1\n", "line 4: evolve.rounds is given twice, first on line 3"),
    ],
)
def test_a_key_that_is_given_twice(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        run(tmp_path / "recipe.yaml")


SCORED = [{"instruction": f"What is {n} plus 1?", "output": f"{n + 1}.", "s": n} for n in range(8)]


def test_a_recipe_that_begins_with_a_selection_makes_its_run_folder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "r"
    select = {"data": SCORED, "by": "s", "top": 4}
    with pytest.raises(InputError, match="no column t"):
        run({"out": str(out), "select": {**select, "by": "t"}})
    assert list(tmp_path.iterdir()) == []
    run({"out": str(out), "select": select, "select:few": {**select, "top": 0.25}})
    assert list(read_manifest(out)) == list(read_manifest(out / "few")) == ["select:selected.jsonl"]


def test_a_dry_run_says_what_would_be_selected_and_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "out": f"{tmp_path}/r",
        "select": {"data": SCORED, "by": "s", "top": 0.5},
        "train": {"base_model": "embedded-base", "preset": "quick", "set": {"batch_size": 2, "num_train_epochs": 1}},
        "evaluate": {"tasks": "embedded_sums"},
    }
    done = run(found, dry_run=True)
    assert (list(done.stages), done.left_out) == (["select", "train"], {"evaluate": "train"})
    assert list(tmp_path.iterdir()) == []
    print_estimates(done.stages, done.left_out)
    printed = capsys.readouterr().out
    assert printed.startswith("select: 8 rows, 8 competing, 4 selected\ntrain: row 1, ")
    assert "\ntrain: 4 rows, " in printed
    assert printed.endswith("evaluate: nothing can be said yet: it reads what train has yet to make\n")


def test_of_several_stages_no_shard_is_made_afresh(tmp_path: Path) -> None:
    """It would be the first stage's each time."""
    stages = {"evolve": {"seeds": "seeds.jsonl", "model": "embedded"}, "respond": {"teacher": "embedded"}}
    with pytest.raises(InputError, match=r"with --shard and --fresh it would make the first one again"):
        run({"out": str(tmp_path / "run"), **stages}, shard="1/2", fresh=True)
