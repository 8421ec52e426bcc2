"""train on the embedded base model: what is written, refused, gone on with."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from evolvent.datasets.write import write
from evolvent.errors import InputError, RunError
from evolvent.models.opening import open_chat
from evolvent.models.protocols import Sampling
from evolvent.recipe import run
from evolvent.records import Message, Record
from evolvent.report.printing import print_trained
from evolvent.runs.lock import FolderLock, in_use
from evolvent.runs.manifest import read_manifest, write_manifest
from evolvent.training import checkpoints, machine, plan, steps
from evolvent.training import train as training
from evolvent.training.note import read_note, write_note
from evolvent.training.train import Trained, _held, train
from tests.training.students import QUICK, sums, without_template, written


def trained(data: Any, out: Path, **options: Any) -> Trained:
    given = {"base_model": "embedded-base", "set": QUICK, "out": out, **options}
    return train(data, **given)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    trained(sums(folder / "sums.jsonl"), folder / "out", set={**QUICK, "num_train_epochs": "8"})
    return folder / "out"


def test_the_student_is_a_model_that_answers_and_ends_its_turn(student: Path) -> None:
    async def asked() -> tuple[str, str]:
        chat = open_chat(f"hf:{student}")
        reply = await chat.chat([Message(role="user", content="What is 2 plus 2?")], Sampling(0.0, max_tokens=40))
        return reply.text, reply.finish_reason

    text, reason = asyncio.run(asked())
    assert reason == "stop" and text[0].isdigit()


def test_the_note(student: Path) -> None:
    note = json.loads((student / "training.json").read_text())
    losses = [loss for _, loss in note["loss"]]
    assert (note["state"], note["how"]["base_model"], note["how"]["learning_rate"]) == ("done", "embedded-base", 1e-3)
    assert note["counts"]["rows"] == note["counts"]["ended"] == 30
    assert note["preset"] == "paper1"
    assert note["counts"]["steps"] == note["loss"][-1][0] == 32
    assert losses[-1] < losses[0] / 2
    assert {"trl", "peft", "transformers", "torch"} <= set(note["versions"])
    names = {file.name for file in student.iterdir()}
    assert {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    } <= names
    assert not names & {checkpoints.FOLDER, ".lock", "training_args.bin"}


def test_nothing_to_do_and_other_settings(student: Path) -> None:
    data, more = student.parent / "sums.jsonl", {**QUICK, "num_train_epochs": "8"}
    before = (student / "model.safetensors").stat().st_mtime_ns
    assert trained(data, student, set=more).already_done
    assert (student / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"(?s)holds another training:\n  num_train_epochs: 8.* 3.* now\n.*--fresh"):
        trained(data, student)
    with pytest.raises(InputError, match="data: other content"):
        trained(sums(student.parent / "fewer.jsonl", 20), student, set=more)


def test_a_folder_is_held_as_run_folders_are(tmp_path: Path) -> None:
    other = FolderLock(tmp_path / "held")
    other.take()
    with pytest.raises(InputError, match=f"in use by another process .pid {os.getpid()}"), _held(tmp_path / "held"):
        pass
    with pytest.raises(ZeroDivisionError), _held(tmp_path / "new/student"):
        assert in_use(tmp_path / "new/student")
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists(), "nothing was done in it"
    other.give_up()
    assert read_note(tmp_path / "held") is None, "a lock that a killed process left is no file of somebody's"


def test_a_dry_run_shows_and_writes_nothing(tmp_path: Path) -> None:
    found = trained(sums(tmp_path / "sums.jsonl"), tmp_path / "out", dry_run=True).preflight
    assert found is not None and (found.rows, found.steps, found.end) == (30, 12, "</s>")
    assert not (tmp_path / "out").exists()
    first = next(found.lines())
    assert first == "row 1, [[with loss]]: <s><|user|>What is 0 plus 0?<|assistant|>[[0.</s>]]"


class Cut(Exception):
    pass


def test_the_rounds_and_evolvers_of_its_rows_are_noted(tmp_path: Path) -> None:
    records = [
        Record(f"s{n}/r{round}", f"s{n}", n, f"What is {n}?", output="It is that.", round=round, evolver="openai:e")
        for n, round in enumerate([1, 2, 2])
    ]
    write([*records, Record("s4", "s4", 4, "And 4?", output="That, too.")], tmp_path / "rows.jsonl")
    counts = trained(tmp_path / "rows.jsonl", tmp_path / "out", dry_run=True).counts
    assert (counts["rounds"], counts["evolvers"]) == ({"0": 1, "1": 1, "2": 2}, {"openai:e": 3})


def test_few_rows_are_a_step_an_epoch_and_are_trained(tmp_path: Path) -> None:
    rates = {"learning_rate": "1e-3", "lr_scheduler_type": "constant_with_warmup"}
    done = trained(sums(tmp_path / "s.jsonl", 20), tmp_path / "out", set=rates)  # in batches of 64, as paper 1
    assert [step for step, _ in done.loss] == [1, 2, 3]
    assert done.loss[0][1] == pytest.approx(done.loss[1][1])  # the first has a learning rate of 0
    assert done.loss[2][1] < done.loss[1][1]


def test_without_padding_a_step_has_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sums(tmp_path / "s.jsonl", 20)
    padded = trained(data, tmp_path / "padded")
    # FlashAttention is not here; transformers' sdpa keeps rows apart where it is told their positions.
    monkeypatch.setattr(machine, "keeps_rows_apart", lambda _: True)
    bare = trained(data, tmp_path / "bare", set={**QUICK, "padding_free": True})
    assert bare.counts["steps"] == len(bare.loss) == 9
    assert [loss for _, loss in bare.loss] == pytest.approx([loss for _, loss in padded.loss], rel=1e-3)


def test_a_warm_up_that_the_training_does_not_outlast_is_told_and_one_of_all_of_it_refused(tmp_path: Path) -> None:
    data = sums(tmp_path / "s.jsonl")
    found = trained(data, tmp_path / "out", preset="paper2", dry_run=True).preflight
    assert found is not None and (found.steps, found.warmup) == (8, 100)
    assert any(line.startswith("the learning rate rises for 100 steps and the training ends") for line in found.lines())
    with pytest.raises(InputError, match=r"one step, 30 rows of a batch of 64, .* nothing would be trained\nTake more"):
        trained(data, tmp_path / "out", preset="paper1", set={"num_train_epochs": "1"})
    one = {"num_train_epochs": "1", "batch_size": "32", "warmup_steps": "0", "learning_rate": "1e-3"}
    assert len(trained(data, tmp_path / "out", set=one).loss) == 1


def test_a_training_that_was_stopped_goes_on_and_ends_where_the_unbroken_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = sums(tmp_path / "sums.jsonl")
    whole = trained(data, tmp_path / "whole")

    def cut(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 7:
            raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(steps.Steps, "on_step_begin", cut, raising=False)
        trained(data, tmp_path / "cut")
    folder = tmp_path / "cut" / checkpoints.FOLDER
    torn = folder / "checkpoint-8"
    shutil.copytree(folder / "checkpoint-6", torn)
    (torn / checkpoints.LAST).unlink()  # as a kill leaves it
    went_on = trained(data, tmp_path / "cut")
    assert [step for step, _ in went_on.loss] == [step for step, _ in whole.loss]
    assert went_on.loss == whole.loss
    one, other = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "cut"))
    assert all((one[name] - other[name]).abs().max() < 1e-6 for name in one)


def test_of_torn_checkpoints_the_last_whole_one_is_found_and_only_one_process_removes_them(tmp_path: Path) -> None:
    for step in (4, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (4, 10):
        (tmp_path / f"checkpoint-{step}" / checkpoints.LAST).write_text(json.dumps({"global_step": step}))
    assert checkpoints.last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert (tmp_path / "checkpoint-12").is_dir()
    checkpoints.remove_torn(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-10"}
    assert checkpoints.last_checkpoint(tmp_path / "none") is None


def test_beginning_anew_removes_what_was_written_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = sums(tmp_path / "sums.jsonl", 8), tmp_path / "out"
    once = {**QUICK, "batch_size": "4", "num_train_epochs": "1"}
    trained(data, out, set=once, lora={})
    (out / "notes.txt").write_text("mine")
    (out / "mine").mkdir()
    assert (out / "adapter").is_dir()
    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(steps.Steps, "on_train_begin", lambda *_, **__: (_ for _ in ()).throw(Cut))
        trained(data, out, set=once, fresh=True)
    assert {path.name for path in out.iterdir()} - {"checkpoints", ".lock"} == {"mine", "notes.txt", "training.json"}


def test_what_another_process_trained_while_this_one_read_its_rows_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = training.prepare

    def slowly(*given: Any) -> Any:
        (tmp_path / "out").mkdir()
        write_note(tmp_path / "out", {"state": "running", "how": {"method": "dpo"}, "input": {"digest": "another"}})
        return prepare(*given)

    monkeypatch.setattr(training, "prepare", slowly)
    with pytest.raises(InputError, match="holds another training"):
        trained(sums(tmp_path / "sums.jsonl"), tmp_path / "out")


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_weights_are_loaded_once_the_arguments_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """DeepSpeed's ZeRO-3 is told by the arguments, and weights that are loaded before are whole on every GPU."""
    from transformers import TrainingArguments

    made: list[bool] = []
    finish = TrainingArguments.__post_init__
    monkeypatch.setattr(TrainingArguments, "__post_init__", lambda self: (finish(self), made.append(True)))

    def load(*_: Any) -> None:
        raise Cut if made else AssertionError("no arguments yet")

    monkeypatch.setattr(plan, "load_model", load)
    data = written(tmp_path / "d.jsonl", [{"prompt": "Why?", "chosen": "So.", "rejected": "No."}] * 9)
    if method == "sft":
        data = sums(tmp_path / "s.jsonl")
    with pytest.raises(Cut):
        trained(data, tmp_path / "out", method=method)


def test_a_lora_is_added_to_the_weights_and_kept(tmp_path: Path) -> None:
    done = trained(
        sums(tmp_path / "sums.jsonl"), tmp_path / "out", lora={"r": "4"}, set={**QUICK, "learning_rate": "0.01"}
    )
    assert done.loss[-1][1] < done.loss[0][1] / 2
    assert {file.name for file in (tmp_path / "out/adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    _, report = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]


def test_in_a_run_folder_it_reads_what_was_selected_and_is_entered(tmp_path: Path) -> None:
    write_manifest(tmp_path, {})
    with pytest.raises(InputError, match=r"holds no selection\nMake one: evolvent select"):
        trained(tmp_path, tmp_path / "student")
    sums(tmp_path / "selected.jsonl", 8)
    done = trained(tmp_path, tmp_path / "student", set={**QUICK, "batch_size": "4"})
    entry = read_manifest(tmp_path)["train:student"]
    assert (entry.state, entry.counts["rows"], entry.input["stage"]) == ("done", 8, "select:selected.jsonl")
    assert entry.settings["learning_rate"] == 1e-3 and done.counts["rows"] == 8
    assert entry.wall_s == done.seconds > 0  # so that the page's figure of times has it
    assert not [name for name in entry.counts if "round" in name]  # of data that was not evolved


FOREIGN = r"is the base model itself|no training wrote it"
QUESTION = {"messages": [{"role": "user", "content": "Why?"}]}
LONG = {"instruction": "why " * 300, "output": "So."}


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([QUESTION], {}, "no row to train on: 1 without an answer"),
        ([LONG], {"set": {**QUICK, "max_length": "50"}}, "the prompt alone fills the 50 tokens"),
        ([{"instruction": "Why?", "output": "so " * 300}], {"set": {**QUICK, "max_length": "50"}}, "to its end"),
        ([{"instruction": "Why?", "output": "So."}], {"method": "dpo"}, "holds no preference pairs"),
        ([{"instruction": "Why?", "output": "So."}], {"base_model": "openai:m"}, "smollm2, embedded or embedded-base"),
        (
            [{"instruction": "Why?", "output": "So."}],
            {"chat_template": "no"},
            "Name alpaca, chatml or a Jinja file",
        ),
        ([{"instruction": "Why?", "output": "So."}], {"base_model": "hf:x/y?dtype=float32"}, "dtype is not decided"),
        ([{"instruction": "Why?", "output": "So."}], {"report_to": ("wandb",)}, "wandb is not installed"),
        ([{"instruction": "Why?", "output": "So."}], {"chat_template": "chatml"}, "does not know the tokens of chatml"),
    ],
)
def test_what_cannot_learn_is_refused(tmp_path: Path, rows: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        trained(written(tmp_path / "data.jsonl", rows), tmp_path / "out", **options)
    assert words in str(raised.value) and raised.value.fix


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("given", "lora", "words"),
    [
        ({"padding_free": "true"}, None, "rows in one sequence would see one another"),
        ({"batch_size": "7", "per_device_train_batch_size": "3"}, None, "7 rows cannot be divided by 3 rows a device"),
        ({"bf16": "true"}, None, "no GPU is here that computes in bfloat16"),
        ({"attn_implementation": "foo"}, None, "cannot be trained with attn_implementation foo"),
        ({}, {"targets": "q_proj+nope"}, "no linear layer 'nope'\nIts linear layers are q_proj, k_proj"),
    ],
)
def test_a_dry_run_refuses_what_training_refuses_before_rows_are_read_or_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, lora: Any, words: str, dry_run: bool
) -> None:
    monkeypatch.setattr("transformers.utils.import_utils.is_torch_bf16_gpu_available", lambda: False)
    monkeypatch.setattr(training, "prepare", None)
    with pytest.raises(InputError) as raised:
        trained(sums(tmp_path / "s.jsonl"), tmp_path / "out", set=given, lora=lora, dry_run=dry_run)
    assert words in str(raised.value) and raised.value.fix
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_for_a_student_which_is_said_before_the_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "prepare", None)
    data = sums(tmp_path / "s.jsonl")
    with pytest.raises(InputError, match=r"s\.jsonl is a file, and a student is a folder"):
        trained(data, data)


def test_what_is_begun_anew_does_not_go_on(tmp_path: Path) -> None:
    how = {"method": "sft"}
    write_note(tmp_path, {"state": "running", "how": how, "input": {"digest": "d"}})
    assert training._earlier(tmp_path, how, "d", fresh=False) is not None
    assert training._earlier(tmp_path, how, "d", fresh=True) is None


def test_what_was_not_measured_is_no_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert steps.Steps(print, 9.0).tokens_per_second() is None
    print_trained(Trained(Path("out"), {}, [(1, 2.0)]))
    assert "tokens with loss a second: not measured" in capsys.readouterr().out


def test_one_of_a_thing_and_texts_that_may_be_tokens_in_the_preflight(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "a</s>b<|end|>"}
    data = written(tmp_path / "d.jsonl", [{"messages": [*QUESTION["messages"], answer]}, QUESTION])
    once = {"warmup_steps": "0", "num_train_epochs": "1", "batch_size": "1"}
    found = trained(data, tmp_path / "out", set=once, dry_run=True).preflight
    assert found is not None
    lines = list(found.lines())
    assert "1 row with text that tokenizers may take for a token: </s>, <|end|>" in lines
    assert "left out: 1 row without an answer" in lines
    assert lines[-1] == "1 step: 1 row x 1 epoch, 1 row a step"


def test_rows_that_are_left_out_or_cut_are_counted(tmp_path: Path) -> None:
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "?"},
    ]
    rows = [QUESTION, {"messages": talk}, {"messages": [{**talk[0], "content": "why " * 90}, talk[1]]}]
    rows.append({"messages": [talk[0], {**talk[1], "content": "so " * 90}]})
    data = written(tmp_path / "data.jsonl", rows)
    found = trained(data, tmp_path / "out", set={**QUICK, "max_length": "30"}, dry_run=True).preflight
    assert found is not None and (found.rows, found.truncated, found.ended) == (2, 1, 1)
    assert found.left_out == {"without an answer": 1, "whose prompt alone fills the row": 1}


def test_a_template_without_an_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}")
    with pytest.raises(InputError, match="never learn to end its turn"):
        trained(sums(tmp_path / "s.jsonl"), tmp_path / "out", chat_template=str(tmp_path / "plain.jinja"))


def test_a_base_model_without_a_template_is_given_one(tmp_path: Path) -> None:
    base, data = without_template(tmp_path / "base"), sums(tmp_path / "s.jsonl", 8)
    with pytest.raises(InputError, match=r"has no chat template.*\n.*--chat-template alpaca"):
        trained(data, tmp_path / "out", base_model=f"hf:{base}")
    trained(data, tmp_path / "out", base_model=f"hf:{base}", chat_template="alpaca")
    assert "### Instruction:" in (tmp_path / "out/chat_template.jinja").read_text()


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    base, data = without_template(tmp_path / "base"), sums(tmp_path / "s.jsonl")
    for out in (base, tmp_path):
        with pytest.raises(InputError, match=FOREIGN):
            trained(data, out, base_model=f"hf:{base}", chat_template="alpaca")
        with pytest.raises(InputError, match=FOREIGN):
            trained(data, out, base_model=f"hf:{base}", chat_template="alpaca", fresh=True)
    assert (base / "config.json").is_file() and data.is_file()


def test_a_full_disk_at_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl.trainer.sft_trainer import SFTTrainer

    def full(self: Any, *_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(SFTTrainer, "_save_checkpoint", full)
    with pytest.raises(RunError, match=r"no space is left to write .*\nFree some space"):
        trained(sums(tmp_path / "s.jsonl"), tmp_path / "out")


def test_a_loss_that_is_no_number_stops_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the loss is nan at step \d+"):
        trained(sums(tmp_path / "s.jsonl"), tmp_path / "out", set={**QUICK, "learning_rate": "1e30"})


def test_a_recipe_trains_on_what_it_selected_and_evaluates_the_student(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    items = [{"question": f"What is {n} plus 1?", "answer": f"#### {n + 1}"} for n in range(2)]
    (tmp_path / "gsm8k/test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    rows = [{"instruction": f"What is {n} plus 1?", "output": f"{n + 1}.", "s": n} for n in range(12)]
    recipe = {
        "out": str(tmp_path),
        "select": {"data": rows, "by": "s", "top": 8},
        "train": {"base_model": "embedded-base", "preset": "quick", "set": {"batch_size": 4}},
        "evaluate": {"tasks": "gsm8k", "data": str(tmp_path), "max_tokens": 8},
    }
    write_manifest(tmp_path, {})
    done = run(recipe).stages["train"]
    assert (done.path, done.counts["rows"]) == (tmp_path / "student", 8)
    assert read_manifest(tmp_path)["train:student"].input["stage"] == "select:selected.jsonl"
    again = run(recipe).stages
    assert again["train"].already_done
    evaluated = again["evaluate"].stages["evaluate"]
    assert evaluated.already_done
    assert {row.teacher for row in evaluated} == {f"hf:{tmp_path}/student"}
