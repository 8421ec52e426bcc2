"""MMLU and C-Eval: questions with four choices, after five answered ones of the same subject; the letter is generated.

Strict: the reply begins with the letter. Flexible: the first letter A to D that stands alone.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.evaluation.task import Task
from evolvent.evaluation.tasks.extracted import MEASURES, judging

if TYPE_CHECKING:
    from datasets import Dataset

LETTERS = "ABCD"
SHOWN = 5
HUB_OF_CEVAL = "ceval/ceval-exam"
Files = Mapping[str, str]


def mmlu(data_files: Files | None = None, **_: Any) -> "dict[str, Dataset]":
    """MMLU's questions, from local files or the Hub."""
    if data_files is not None:
        return documents(_of_files(data_files["test"]), _of_files(data_files["dev"]), "Answer: ")
    from datasets import load_dataset

    test, dev = load_dataset("cais/mmlu", "all", split=["test", "dev"])
    return documents(map(_of_mmlu, test), map(_of_mmlu, dev), "Answer: ")


def ceval(data_files: Files | None = None, **_: Any) -> "dict[str, Dataset]":
    """C-Eval's validation questions, from local files or the Hub."""
    if data_files is not None:
        found = [_of_files(data_files[split]) for split in ("test", "dev")]
    else:
        found = [_of_the_hub("val"), _of_the_hub("dev")]
    test, dev = ([{**row, "subject": in_chinese(row["subject"])} for row in rows] for rows in found)
    return documents(test, dev, "答案：")


def _of_the_hub(split: str) -> Iterator[dict[str, Any]]:
    """C-Eval's questions of every subject."""
    from datasets import get_dataset_config_names, load_dataset

    for subject in get_dataset_config_names(HUB_OF_CEVAL):
        for row in load_dataset(HUB_OF_CEVAL, subject, split=split):
            choices = [row[letter] for letter in LETTERS]
            yield _row(subject, row["question"], choices, row["answer"])


def in_chinese(subject: str) -> str:
    """A subject as the harness' own prompts name it; as the data name it, where the harness does not know it."""
    import lm_eval.tasks

    file = Path(lm_eval.tasks.__path__[0]) / "ceval" / f"ceval-valid_{subject.replace(' ', '_')}.yaml"
    if not file.is_file():
        return subject
    found = re.search("关于(.*)的单项选择题", file.read_text(encoding="utf-8"))
    return found[1] if found else subject


def documents(
    test: Iterable[dict[str, Any]], dev: Iterable[dict[str, Any]], before_answer: str
) -> "dict[str, Dataset]":
    """The questions of a test, each with the answered ones that are shown before it."""
    from datasets import Dataset

    shown: dict[str, list[str]] = {}
    for row in dev:
        choices = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=True))
        shown.setdefault(row["subject"], []).append(f"{row['question']}\n{choices}\n{before_answer}{row['answer']}\n\n")
    counted: dict[str, int] = {}
    rows = []
    for row in test:
        number = counted[row["subject"]] = counted.get(row["subject"], -1) + 1
        if row["subject"] not in shown:
            raise ValueError(f"the subject {row['subject']} has no answered questions to be shown before it (dev)")
        before = "".join(shown[row["subject"]][:SHOWN])
        rows.append({"key": f"{row['subject']}/{number}", **row, "shown": before})
    return {"test": Dataset.from_list(rows)}


def _of_files(pattern: str) -> Iterator[dict[str, Any]]:
    """The rows of a folder's CSV files, each named after its subject; with a line of column names, or without."""
    folder = Path(pattern)
    folders = [folder] if folder.is_dir() else sorted(Path().glob(pattern))  # lm_eval hands on what the YAML says
    for file in sorted(file for one in folders for file in one.glob("*.csv")):
        subject = file.stem.rpartition("_")[0].replace("_", " ")
        with file.open(encoding="utf-8", newline="") as lines:
            for number, cells in enumerate(csv.reader(lines)):
                if number == 0 and "question" in cells:
                    first = cells.index("question")
                    continue
                first = first if number else 0
                question, *choices, answer = cells[first : first + 6]
                yield _row(subject, question, choices, answer)


def _of_mmlu(row: Mapping[str, Any]) -> dict[str, Any]:
    return _row(str(row["subject"]).replace("_", " "), row["question"], row["choices"], row["answer"])


def _row(subject: str, question: str, choices: list[str], answer: object) -> dict[str, Any]:
    letter = LETTERS[int(str(answer))] if str(answer).isdecimal() else str(answer).strip()
    if letter not in LETTERS or len(choices) != len(LETTERS):
        raise ValueError(f"{question[:60]!r} has {len(choices)} choices and the answer {answer!r}")
    return {"subject": subject, "question": question.strip(), "choices": choices, "answer": letter}


ABOUT = "four choices; five answered ones of the subject before it, the letter generated"
MMLU = Task("mmlu", ABOUT, MEASURES, judging("mmlu"))
CEVAL = Task("ceval", f"validation set, {ABOUT}", MEASURES, judging("ceval"))
