"""MMLU and C-Eval: how questions are laid out, and what counts as the letter."""

import asyncio
from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.evaluation.harness import items, texts
from evolvent.evaluation.task import Tools
from evolvent.evaluation.tasks import TASKS

pytest.importorskip("lm_eval")


def written(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_mmlu_shows_five_of_the_same_subject(tmp_path: Path) -> None:
    head = "question,choice0,choice1,choice2,choice3,answer"
    for subject in ("wood_work", "sewing"):
        shown = (f"{subject} {n}?,a,b,c,d,{n % 4}" for n in range(7))
        written(tmp_path / "mmlu" / "dev", f"{subject}_dev.csv", head, *shown)
        written(tmp_path / "mmlu" / "test", f"{subject}_test.csv", head, f'"Which, of {subject}?",w,x,y,z,2')
    sewing, wood = items("mmlu", tmp_path, None)
    assert (sewing.id, wood.id) == ("mmlu/sewing/0", "mmlu/wood work/0")
    assert wood.instruction.startswith(
        "The following are multiple choice questions (with answers) about wood work.\n\n"
        "wood_work 0?\nA. a\nB. b\nC. c\nD. d\nAnswer: A\n\nwood_work 1?\n"
    )
    assert wood.instruction.endswith("Answer: A\n\nWhich, of wood_work?\nA. w\nB. x\nC. y\nD. z\nAnswer:")
    assert wood.instruction.count("Answer:") == 6 and "sewing" not in wood.instruction


def test_ceval_and_files_without_a_head(tmp_path: Path) -> None:
    written(tmp_path / "ceval" / "val", "accountant_val.csv", "id,question,A,B,C,D,answer", "0,几？,一,二,三,四,C")
    written(tmp_path / "ceval" / "dev", "accountant_dev.csv", "谁？,一,二,三,四,D")
    [item] = items("ceval", tmp_path, None)
    assert item.instruction == (
        "以下是中国关于注册会计师的单项选择题，请选出其中的正确答案。\n\n"
        "谁？\nA. 一\nB. 二\nC. 三\nD. 四\n答案：D\n\n几？\nA. 一\nB. 二\nC. 三\nD. 四\n答案："
    )


def test_a_limit_takes_the_subjects_in_turn(tmp_path: Path) -> None:
    for subject in ("sewing", "wood", "zinc"):
        written(tmp_path / "mmlu" / "dev", f"{subject}_dev.csv", "Who?,a,b,c,d,A")
        written(tmp_path / "mmlu" / "test", f"{subject}_test.csv", *(f"{n}?,w,x,y,z,A" for n in range(3)))
    found = [item.id for item in items("mmlu", tmp_path, 4)]
    assert found == ["mmlu/sewing/0", "mmlu/sewing/1", "mmlu/wood/0", "mmlu/zinc/0"]


def test_a_subject_without_answered_questions_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "mmlu" / "test", "sewing_test.csv", "Who?,a,b,c,d,A")
    written(tmp_path / "mmlu" / "dev", "wood_dev.csv", "Who?,a,b,c,d,A")
    with pytest.raises(InputError, match="the subject sewing has no answered questions"):
        list(items("mmlu", tmp_path, None))


def test_two_folders_of_which_one_would_be_read_are_refused(tmp_path: Path) -> None:
    for folder in ("mmlu", "mmlu_part"):
        for split in ("test", "dev"):
            written(tmp_path / folder / split, f"sewing_{split}.csv", "Who?,a,b,c,d,A")
    with pytest.raises(InputError, match=r"task mmlu would read mmlu\*/test of one folder.*mmlu_part"):
        list(items("mmlu", tmp_path, None))


def test_the_choices_are_looked_for_in_training_data(tmp_path: Path) -> None:
    for split in ("test", "dev"):
        written(tmp_path / "mmlu" / split, f"sewing_{split}.csv", "Who {sews}?,a,b,c,d,A")
    [item] = items("mmlu", tmp_path, None)
    assert texts(item) == ["Who {sews}?", "Who {sews}?\nA. a\nB. b\nC. c\nD. d"]


def test_an_answer_that_is_no_letter_is_refused(tmp_path: Path) -> None:
    for split in ("test", "dev"):
        written(tmp_path / "mmlu" / split, f"sewing_{split}.csv", "Who?,a,b,c,d,E")
    with pytest.raises(InputError, match=r"task mmlu: .* cannot be read: 'Who\?' has 4 choices and the answer 'E'"):
        list(items("mmlu", tmp_path, None))


@pytest.mark.parametrize(
    ("reply", "strict", "flexible"),
    [
        ("B", 1, 1),
        (" (B) four", 1, 1),
        ("B. four\nA. two", 1, 1),
        ("The answer is B.", 0, 1),
        ("Because of that: D", 0, 0),
        ("答案是B。", 0, 1),
        ("A good one is B", 0, 0),
        ("b", 0, 0),
        ("", 0, 0),
    ],
)
def test_verdicts(reply: str, strict: float, flexible: float) -> None:
    document = {
        "key": "k",
        "subject": "s",
        "question": "q",
        "choices": ["w", "x", "y", "z"],
        "answer": "B",
        "shown": "",
    }
    found = asyncio.run(TASKS["mmlu"].judge(document, reply, Tools()))
    assert found == {"strict_match": strict, "flexible_extract": flexible}
