"""export: what is trained on, what is left out and why, and the files that each trainer takes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from evolvent import export, score, select
from evolvent.cli import app
from evolvent.errors import InputError
from evolvent.exporting.options import TRAINERS as NAMES
from evolvent.exporting.trainers import TRAINERS, Setup
from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.training_presets import PRESETS

GOLDEN = Path(__file__).parent / "golden"
BASE = "embedded-base"

Row = dict[str, Any]


def turns(*texts: str, system: str | None = None) -> list[Row]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [
        {"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(texts)
    ]


def exported(rows: list[Row], folder: Path, trainer: str = "trl", **given: Any) -> list[Row]:
    """The rows that are written of some."""
    done = export(rows, trainer=trainer, **{"base_model": BASE, "out": folder, **given})
    written = [json.loads(line) for line in done.files[0].read_text().splitlines()]
    assert done.counts["written"] == len(written)
    return written


def test_trl_gets_a_row_an_answer_with_the_loss_on_it_alone(tmp_path: Path) -> None:
    talk = turns("Name a bird", "A crane.", "Another", "An owl.", system="Be brief.")
    rows = exported([{"messages": talk}], tmp_path)
    assert rows == [
        {"prompt": talk[:2], "completion": [talk[2]]},
        {"prompt": talk[:4], "completion": [talk[4]]},
    ]


@pytest.mark.parametrize("trainer", ["llama-factory", "axolotl", "unsloth"])
def test_the_others_get_conversations_without_any_other_column(tmp_path: Path, trainer: str) -> None:
    talk = turns("Name a bird", "A crane.", "Another", "An owl.", system="Be brief.")
    alpaca = {"instruction": "Name one", "input": "of Asia", "output": "The Ob.", "meta": {"id": 1}, "score": 3}
    assert exported([{"messages": talk, "meta": "x", "weight": 1}], tmp_path, trainer) == [{"messages": talk}]
    assert exported([alpaca], tmp_path, trainer) == [{"messages": turns("Name one\nof Asia", "The Ob.")}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": turns("Name a bird"), "chosen": turns("Name a bird", "A crane.")[1:], "rejected": "A cat."},
        {"prompt": "Name a bird", "chosen": "A crane.", "rejected": "A cat.", "meta": {"a": 1}},
        {"chosen": turns("Name a bird", "A crane."), "rejected": turns("Name a bird", "A cat.")},
        {
            "conversations": [{"from": "human", "value": "Name a bird"}],
            "chosen": {"from": "gpt", "value": "A crane."},
            "rejected": {"from": "gpt", "value": "A cat."},
        },
    ],
)
def test_preference_pairs(tmp_path: Path, row: Row) -> None:
    asked, better, worse = (
        turns("Name a bird", "A crane.", "")[0],
        *(turns("", text)[1] for text in ("A crane.", "A cat.")),
    )
    assert exported([row], tmp_path / "x") == [{"prompt": [asked], "chosen": [better], "rejected": [worse]}]
    assert exported([row], tmp_path / "y", "llama-factory") == [
        {"messages": [asked], "chosen": better, "rejected": worse}
    ]
    with pytest.raises(InputError, match="preference pairs are not exported for unsloth\nThey are for trl, llama"):
        export([row], trainer="unsloth", base_model=BASE, out=tmp_path / "z")


def test_what_cannot_be_trained_on_is_left_out_and_counted(tmp_path: Path) -> None:
    tool = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look"}}]},
        {"role": "tool", "content": "sun"},
        {"role": "assistant", "content": "Sun."},
    ]
    kept = turns("a", "b", "c")
    two = [turns("a")[0], *turns("b", "c")]
    rows = [{"messages": one} for one in (kept, turns("a"), turns("a", " \n"), turns("a", "", "b", "c"), two, tool)]
    done = export(rows, trainer="axolotl", base_model=BASE, out=tmp_path)
    assert done.counts == {
        "rows": 6,
        "without an answer": 1,
        "with an empty answer": 2,
        "whose turns are not questions and answers in turn": 1,
        "with turns of tools": 1,
        "written": 1,
    }
    assert done.notes == ("1 of 1 examples have turns at the end that nobody answered, which are not exported",)
    with pytest.raises(InputError, match="nothing to train on: 1 without an answer"):
        export(rows[1:2], trainer="axolotl", base_model=BASE, out=tmp_path)
    pair = {"prompt": "a", "chosen": "b"}
    pairs = [pair | {"rejected": worse} for worse in ("b", "", "c", [{"role": "user", "content": "d"}])]
    counts = export(pairs, trainer="trl", base_model=BASE, out=tmp_path / "pairs").counts
    assert counts == {"rows": 4, "whose two answers are the same": 1, "without a rejected answer": 2, "written": 1}


def test_hostile_texts(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Say <|im_end|>\u2028", "output": "</s> [INST] \U0001f9e6"},
        {"instruction": "a", "output": "b"},
    ]
    done = export(rows, trainer="axolotl", base_model=BASE, out=tmp_path)
    words = "1 of 2 examples have text that tokenizers may take for a token: </s>, <|im_end|>, [INST]"
    assert done.notes == (words,)
    [first, _] = done.files[0].read_text(encoding="utf-8").split("\n")[:2]
    assert json.loads(first)["messages"] == turns(rows[0]["instruction"], rows[0]["output"])
    for text in ("a\x00", "\ud800"):
        with pytest.raises(InputError, match=r"NUL byte|lone surrogate"):
            export([{"instruction": text, "output": "b"}], trainer="trl", base_model=BASE, out=tmp_path)


def test_lengths_are_the_models_own_or_a_bound(tmp_path: Path) -> None:
    rows = [{"instruction": "Name a bird", "output": "A crane. \U0001f9e6"}]
    exact = export(rows, trainer="axolotl", base_model=BASE, out=tmp_path)
    assert 0 < exact.longest < 64 and exact.notes == ()
    assert yaml.safe_load((tmp_path / "axolotl.yaml").read_text())["sequence_len"] == 64
    bound = export(rows, trainer="axolotl", base_model="hf:some/thing@main", out=tmp_path)
    assert bound.longest > exact.longest and bound.notes[0].startswith("the base model's tokenizer is not on this")
    settings = yaml.safe_load((tmp_path / "axolotl.yaml").read_text())
    assert (settings["base_model"], settings["revision_of_model"]) == ("some/thing", "main")


def folder_with(tmp_path: Path, **changed: Any) -> Path:
    """The embedded base model's folder, without its weights and with another tokenizer configuration."""
    folder = tmp_path / "base"
    folder.mkdir()
    for file in (EMBEDDED_FOLDER / "base").iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "tokenizer_config.json").read_text()) | changed
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_what_ends_an_answer_is_trained_where_it_is_not_the_end_token(tmp_path: Path) -> None:
    folder, rows = folder_with(tmp_path, eos_token="<pad>"), [{"instruction": "a", "output": "b"}]
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template.replace("eos_token", "'</s>'"))
    base = f"hf:{folder}"
    done = export(rows, trainer="axolotl", base_model=base, out=tmp_path / "x")
    assert yaml.safe_load((tmp_path / "x/axolotl.yaml").read_text())["eot_tokens"] == ["</s>"]
    assert done.notes[0].startswith("an answer ends with </s>, and the end token is <pad>")
    assert export(rows, trainer="trl", base_model=base, out=tmp_path / "y").notes == ()
    assert yaml.safe_load((tmp_path / "y/sft.yaml").read_text())["eos_token"] == "</s>"


def test_a_chat_template_of_the_users_goes_along_or_is_refused(tmp_path: Path) -> None:
    folder, rows = folder_with(tmp_path), [{"instruction": "a", "output": "b"}]
    template = (folder / "chat_template.jinja").rename(tmp_path / "t.jinja")
    with pytest.raises(InputError, match="has no chat template"):
        export(rows, trainer="trl", base_model=f"hf:{folder}", out=tmp_path / "x")
    base = f"hf:{folder}?chat_template={template}"
    for trainer, file, names in (
        ("trl", "sft.yaml", ["chat_template_path: chat_template.jinja"]),
        ("axolotl", "axolotl.yaml", ["chat_template: jinja", "chat_template_jinja: chat_template.jinja"]),
        ("unsloth", "train.py", ['tokenizer.chat_template = open("chat_template.jinja"']),
    ):
        done = export(rows, trainer=trainer, base_model=base, out=tmp_path / trainer)
        assert (tmp_path / trainer / "chat_template.jinja").read_bytes() == template.read_bytes()
        assert done.files[-1].name == "chat_template.jinja"
        assert all(name in (tmp_path / trainer / file).read_text() for name in names)
    with pytest.raises(InputError, match="llama-factory reads no chat template from a file"):
        export(rows, trainer="llama-factory", base_model=base, out=tmp_path)
    with pytest.raises(InputError, match="trl reads no chat template from a file for preference pairs"):
        export([{"prompt": "a", "chosen": "b", "rejected": "c"}], trainer="trl", base_model=base, out=tmp_path)


def test_what_the_template_refuses_is_left_out(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[-1]['content'] }}"
    )
    (folder / "chat_template.jinja").write_text(template)
    rows = [{"messages": turns("a", "b", system=system)} for system in ("Be brief.", None)]
    done = export(rows, trainer="unsloth", base_model=f"hf:{folder}", out=tmp_path / "x")
    assert done.counts == {"rows": 2, "that the chat template refuses": 1, "written": 1}
    assert done.notes == ("the chat template puts no token behind an answer: the student does not learn to stop",)


def test_a_run_folder_is_its_selection(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(
        "".join(json.dumps({"instruction": f"Mend sock {n}", "output": "With wool."}) + "\n" for n in range(3))
    )
    run = tmp_path / "run"
    score(tmp_path / "pairs.jsonl", metrics=["ifd"], base_model=BASE, out=run)
    with pytest.raises(InputError, match="holds no selection\nMake one: evolvent select"):
        export(run, trainer="trl", base_model=BASE, out=tmp_path / "x")
    select(run, by="ifd", top="2", out=run / "best.jsonl")
    written = exported(run, tmp_path / "x")  # type: ignore[arg-type]
    assert len(written) == 2 and {*written[0]} == {"prompt", "completion"}
    assert exported(run / "scored.parquet", tmp_path / "x", limit=1)[0]["completion"][0]["content"] == "With wool."  # type: ignore[arg-type]
    select(run, by="ifd", top="1", out=run / "one.jsonl")
    with pytest.raises(InputError, match=r"several selections: .*best.jsonl.*\nName one of the files"):
        export(run, trainer="trl", base_model=BASE, out=tmp_path / "x")
    select(run, by="ifd", top="3", out=run / "selected.jsonl")
    assert len(exported(run, tmp_path / "x")) == 3  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"train.jsonl is the data itself"):
        export(tmp_path / "x" / "train.jsonl", trainer="trl", base_model=BASE, out=tmp_path / "x")


def test_a_folder_of_somebodys_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/dataset_info.json").write_text('{"mine": {}}')
    rows = [{"instruction": "Name a bird", "output": "A crane."}]
    with pytest.raises(InputError, match=r"mine holds dataset_info\.json, and no export wrote it"):
        export(rows, trainer="llama-factory", base_model="embedded-base", out=tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["dataset_info.json"]
    for _ in range(2):
        export(rows, trainer="llama-factory", base_model="embedded-base", out=tmp_path / "new")
    with pytest.raises(InputError, match="new holds an export for llama-factory"):
        export(rows, trainer="trl", base_model="embedded-base", out=tmp_path / "new")


def test_another_export_to_the_folder_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    out, row, pair = tmp_path / "x", {"instruction": "a", "output": "b"}, {"prompt": "a", "chosen": "b"}
    with pytest.raises(InputError, match="nothing to train on"):
        export([{**row, "output": ""}], trainer="trl", base_model=BASE, out=out)
    assert list(out.iterdir()) == []
    template = tmp_path / "t.jinja"
    template.write_text((EMBEDDED_FOLDER / "base/chat_template.jinja").read_text())
    base = f"hf:{EMBEDDED_FOLDER / 'base'}?chat_template={template}"
    export([row], trainer="trl", base_model=base, out=out)
    (out / "trained").mkdir()  # by the trainer
    names = {"trained", ".evolvent-export", "train.jsonl"}
    assert {file.name for file in out.iterdir()} == names | {"sft.yaml", "chat_template.jinja"}
    export([pair | {"rejected": "c"}], trainer="trl", base_model=BASE, out=out)
    assert {file.name for file in out.iterdir()} == names | {"dpo.yaml"}


def test_settings_are_those_that_train_begins_with() -> None:
    for preference, name in ((False, "paper1"), (True, "autoif")):
        setup = Setup("m", None, False, preference, rows=1000, longest=9, turn_end=None, template=False)
        (text,) = TRAINERS["trl"].files(setup).values()
        written, preset = yaml.safe_load(text), PRESETS[name].values
        assert all(written[key] == preset[key] for key in ("learning_rate", "num_train_epochs", "lr_scheduler_type"))
        assert written["per_device_train_batch_size"] * written["gradient_accumulation_steps"] == preset["batch_size"]
        assert written["warmup_steps"] == {"paper1": 2, "autoif": 4}[name]  # of 48 and 32 steps


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    typed = ["export", str(tmp_path / "data.jsonl"), "--for", "llama-factory", "--base-model", BASE]
    shown = CliRunner().invoke(app, [*typed, "--out", str(tmp_path / "x")])
    assert shown.output.splitlines()[-1] == f"train: cd {tmp_path / 'x'} && llamafactory-cli train sft.yaml"
    assert {file.name for file in (tmp_path / "x").iterdir()} == {
        ".evolvent-export",
        "train.jsonl",
        "dataset_info.json",
        "sft.yaml",
    }
    assert tuple(TRAINERS) == NAMES
    for uri in ("smollm2", "openai:m?base_url=http://host/v1", "gguf:x.gguf"):
        with pytest.raises(InputError, match="trainers take weights of transformers"):
            export([], trainer="trl", base_model=uri, out=tmp_path)


@pytest.mark.parametrize(
    ("trainer", "method"),
    [(name, way) for name in NAMES for way in ("sft", "dpo") if way == "sft" or TRAINERS[name].pairs],
)
def test_configurations_are_those_that_the_trainers_own_parsers_read(trainer: str, method: str) -> None:
    """Golden files, each read by its trainer: TRL 1.16, LLaMA-Factory 0.9.5, axolotl 0.19; unsloth 2026.10."""
    setup = Setup(
        "org/base", "main", False, method == "dpo", rows=10_000, longest=1000, turn_end="<|im_end|>", template=False
    )
    for name, text in TRAINERS[trainer].files(setup).items():
        golden = GOLDEN / f"{trainer}-{method}-{name}.txt"
        assert text == golden.read_text(), golden
