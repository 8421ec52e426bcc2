"""DPO: the pairs that it reads, and that the chosen answers become likelier than the rejected ones."""

from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.options import Reading
from evolvent.training import train as training
from evolvent.training.preflight import Prepared, prepare
from evolvent.training.rows import Examples, open_examples
from evolvent.training.tokens import IGNORED
from evolvent.training.train import train
from tests.training.students import written

READING = Reading()


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


PAIRS = [
    {"prompt": [turn("user", "Why?")], "chosen": [turn("assistant", "So.")], "rejected": [turn("assistant", "No.")]},
    {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
    {
        "chosen": [turn("user", "Why?"), turn("assistant", "So.")],
        "rejected": [turn("user", "Why?"), turn("assistant", "No.")],
    },
]


@pytest.mark.parametrize("row", PAIRS)
def test_pairs_in_every_form(tmp_path: Path, row: dict[str, Any]) -> None:
    (found,) = open_examples(written(tmp_path / "p.jsonl", [{**row, "meta": {"a": 1}}]), "dpo", READING)
    assert found.turns == [turn("user", "Why?"), turn("assistant", "So.")]
    assert found.rejected == "No."


def test_rows_that_are_no_pairs_are_counted(tmp_path: Path) -> None:
    rows = [PAIRS[1], {**PAIRS[1], "rejected": "So."}, {**PAIRS[1], "rejected": ""}, {**PAIRS[1], "chosen": ""}]
    examples: Examples = open_examples(written(tmp_path / "p.jsonl", rows), "dpo", READING)
    assert len(list(examples)) == 1
    assert examples.left_out == {
        "whose two answers are the same": 1,
        "without a rejected answer": 1,
        "without an answer": 1,
    }


def test_the_chosen_answer_becomes_likelier(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"What is {n} plus 1?", "chosen": f"It is {n + 1}.", "rejected": "Who knows."} for n in range(16)
    ]
    data = written(tmp_path / "p.jsonl", rows)
    how = {"learning_rate": "1e-3", "batch_size": "8", "num_train_epochs": "3"}
    done = train(data, base_model="embedded-base", out=tmp_path / "out", method="dpo", set=how)
    assert done.loss[0][1] == pytest.approx(0.693, abs=0.01)  # log 2: the model is its own reference
    assert done.loss[-1][1] < 0.3
    assert done.preflight is not None and done.preflight.ended == 16


def test_the_preflight_shows_both_answers_and_says_where_one_is_not_trained(tmp_path: Path) -> None:
    data, how = written(tmp_path / "p.jsonl", [PAIRS[1]] * 3), {"batch_size": "1"}
    both, one = (
        train(data, base_model="embedded-base", out=tmp_path / "out", method=method, set=how, dry_run=True).preflight
        for method in ("dpo", "sft")
    )
    assert both is not None and one is not None
    assert [line for line in both.lines() if line.startswith("row 1,")] == [
        "row 1, [[with loss]]: <s><|user|>Why?<|assistant|>[[So.</s>]]",
        "row 1, rejected, [[with loss]]: <s><|user|>Why?<|assistant|>[[No.</s>]]",
    ]
    assert both.notes == {}
    assert one.notes == {"of preference pairs, of which only chosen is trained: --method dpo learns from both": 3}


def test_the_preflight_is_of_what_trl_trains_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl.trainer.dpo_trainer import DPOTrainer

    class Seen(Exception):
        pass

    prepared: list[Prepared] = []
    monkeypatch.setattr(training, "prepare", lambda *given: prepared.append(prepare(*given)) or prepared[0])
    monkeypatch.setattr(DPOTrainer, "train", lambda self, **_: (_ for _ in ()).throw(Seen(self.train_dataset)))
    # Its prompt ends with a blank, which one of the answers makes a token of its own first word with.
    (tmp_path / "t.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    answers = [("It is 4.", "4."), ("4.", "It is 4."), ("\n\nSo.", "No."), ("So " * 90, "No.")]
    rows = [{"prompt": "What?", "chosen": better, "rejected": worse} for better, worse in answers]
    how = {"max_length": "40", "batch_size": "2"}
    with pytest.raises(Seen) as raised:
        train(
            written(tmp_path / "p.jsonl", rows), base_model="embedded-base", out=tmp_path / "out", method="dpo",
            set=how, chat_template=str(tmp_path / "t.jinja"),
        )  # fmt: skip
    ours = prepared[0]
    for n, row in enumerate(raised.value.args[0]):
        for name, ids, labels in (("chosen", ours.ids[n], ours.labels[n]), ("rejected", *ours.rejected[n])):
            theirs = (row["prompt_ids"] + row[f"{name}_ids"])[:40]
            assert ids.tolist() == theirs
            assert (labels != IGNORED).sum() == len(theirs) - len(row["prompt_ids"])


def test_a_folder_without_pairs(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"stages": {}}')
    with pytest.raises(InputError, match=r"holds no preference pairs\nMake one: evolvent evolve --method autoif"):
        open_examples(tmp_path, "dpo", READING)
