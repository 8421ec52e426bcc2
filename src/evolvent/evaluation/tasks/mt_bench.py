"""MT-Bench: how a judge rates the answers of a conversation of two turns, each from 1 to 10, one answer at a time.

Source: arXiv 2306.05685 and its published code: single-answer grading, with reference answers in mathematics, reasoning
and coding. The prompts are our own words; answers are greedy in every category, where the published code draws those of
four categories (temperature 0.7 in writing and roleplay, 0.1 in stem and humanities).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.concurrency import together
from evolvent.evaluation.task import Document, Measure, NoVerdict, Task, Tools
from evolvent.judges.replies import read_rating, why_no_verdict
from evolvent.prompts import load_prompt
from evolvent.records import Score, conversation

if TYPE_CHECKING:
    from datasets import Dataset

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
TURNS = (1, 2)
LOWEST = 1.0  # of an answer without text, which no judge is asked about
PROMPT = load_prompt("mt_bench", [Path(__file__).parent])
UNREAD = "the last line of the judge's reply is no rating from 1 to 10"


def documents(data_files: Mapping[str, str], **_: Any) -> "dict[str, Dataset]":
    """The questions, each with the reference answers that there are to its turns."""
    from datasets import Dataset

    folder = Path(data_files["test"])
    answers = {
        row["question_id"]: row["choices"][0]["turns"] for row in _lines(folder / "reference_answer_gpt-4.jsonl")
    }
    rows = []
    for row in _lines(folder / "question.jsonl"):
        turns = {f"turn_{turn}": text for turn, text in zip(TURNS, row["turns"], strict=True)}
        references = zip(TURNS, answers.get(row["question_id"], ["", ""]), strict=True)
        known = {f"reference_{turn}": text for turn, text in references}
        rows.append({"key": str(row["question_id"]), "category": row["category"], **turns, **known})
    return {"test": Dataset.from_list(rows)}


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def prompt_of(document: Document, replies: Sequence[str]) -> str:
    """What the judge is asked of the last of some replies."""
    turns = [
        {"question": document[f"turn_{turn}"], "reference": document[f"reference_{turn}"], "answer": reply}
        for turn, reply in enumerate(replies, 1)
    ]
    # No answer can hold the mark that it is set off with.
    mark = hashlib.sha256(json.dumps(turns).encode()).hexdigest()[:12]
    return PROMPT.render(mark=mark, turns=turns)


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """The rating of each turn, and their mean.

    Raises:
        NoVerdict: the judge rates a turn not at all, or not in the form that is asked for.
    """
    replies = [reply, *tools.further]
    found = await together(rating(document, replies[:turn], tools) for turn in TURNS)
    known: dict[str, Score] = {
        f"turn_{turn}": one for turn, one in zip(TURNS, found, strict=True) if not isinstance(one, str)
    }
    for why in found:
        if isinstance(why, str):
            raise NoVerdict(why, known)
    mean = sum(float(one) for one in found) / len(found)
    return {**known, "rating": mean, f"rating_{document['category']}": mean}


async def rating(document: Document, replies: Sequence[str], tools: Tools) -> float | str:
    """The rating of the last of some replies; a text says why there is none."""
    if not replies[-1].strip():
        return LOWEST
    assert tools.judge is not None
    try:
        said = await tools.judge(conversation(prompt_of(document, replies)))
    except NoVerdict as error:
        return str(error)
    return why_no_verdict(said) or read_rating(said.text) or UNREAD


MT_BENCH = Task(
    "mt_bench",
    "80 questions of two turns, each answer rated from 1 to 10 by a judge; zero-shot",
    (
        *(Measure(f"turn {turn}", f"turn_{turn}", unit="points") for turn in TURNS),
        Measure("mean", "rating", unit="points"),
        *(Measure(category, f"rating_{category}", unit="points") for category in CATEGORIES),
    ),
    judge,
    judged=len(TURNS),
    judge_version=PROMPT.version,
    then=("turn_2",),
)
