"""DPO: the pairs that it reads, and that the chosen answers become likelier than the rejected ones."""

from pathlib import Path
from typing import Any

import pytest

from evolvent.errors import InputError
from evolvent.options import Reading
from evolvent.training.rows import Examples, open_examples
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


def test_a_folder_without_pairs(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"stages": {}}')
    with pytest.raises(InputError, match=r"holds no preference pairs\nMake one: evolvent evolve --method autoif"):
        open_examples(tmp_path, "dpo", READING)
