"""How difficult an instruction is, as a judge sees it: one of five levels, or a score from 0 to 100.

Source: arXiv 2412.11231, App. (figures 18 and 19) and its published code, in words of our own. The code shows the judge
the instruction alone; we show its input, too, since without it a request may make no sense.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from evolvent.call_store.ask import ask
from evolvent.judges.replies import read_label, read_number, why_no_verdict
from evolvent.metrics.metric import Compute, Metric, Values, Window
from evolvent.models.protocols import Sampling
from evolvent.prompts import Prompt, load_prompt
from evolvent.records import Column, Record, Score, conversation

PROMPTS = Path(__file__).parent / "prompts"

LEVELS = ("very easy", "easy", "medium", "hard", "very hard")


def judged(column: Column, read: Callable[..., Score], unread: str) -> Metric:
    """A metric of an instruction that a judge is asked for, greedily, with the prompt of the column's name.

    Args:
        column: its column, after which it is named.
        read: what a reply's text says, given also whether it is read strictly; None where it says nothing.
        unread: why there is no value then.
    """
    prompt = load_prompt(column.name, [PROMPTS])
    return Metric(
        column.name, ("chat",), (column,), asking(column, prompt, _question, read, unread), versions=(prompt.version,)
    )


def asking(
    column: Column,
    prompt: Prompt,
    slots: Callable[[Record], dict[str, str] | str],
    read: Callable[..., Score],
    unread: str,
) -> Compute:
    """The values of a column that a judge is asked for, a call a record.

    Args:
        column: the column.
        prompt: what the judge is asked.
        slots: what a record fills the prompt's slots with, or why the judge is not asked.
        read, unread: see ``judged``.
    """

    async def one(window: Window, record: Record) -> Values | str:
        filled = slots(record)
        if isinstance(filled, str):
            return filled
        turns = conversation(prompt.render(**filled))
        greedy = Sampling(temperature=0.0, max_tokens=window.how.max_tokens)
        reply = await ask(window.judge, turns, greedy, run_seed=0, record_id=record.id, stage=column.name)
        if reason := why_no_verdict(reply):
            return reason
        value = read(reply.text, strict=window.how.strict)
        return unread if value is None else {column.name: value}

    async def compute(window: Window, _: object) -> list[Values]:
        return await window.of_each(partial(one, window))

    return compute


def _question(record: Record) -> dict[str, str]:
    # No request can hold the mark that it is set off with.
    mark = hashlib.sha256(record.question.encode()).hexdigest()[:12]
    return {"mark": mark, "question": record.question}


DIFFICULTY_LEVEL = judged(
    Column("difficulty_level", "string", "level"),
    lambda text, *, strict: read_label(text, LEVELS, strict=strict),
    "the judge's reply names no level",
)
DIFFICULTY_SCORE = judged(
    Column("difficulty_score", "double", "0 to 100", "higher"), read_number, "the judge's reply gives no score"
)
