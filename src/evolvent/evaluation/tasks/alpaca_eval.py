"""AlpacaEval: how often a judge prefers a model's answers to another's, and how often at equal length.

Source: AlpacaEval 2 (arXiv 2404.04475). Its judge is asked once, in a drawn order, and its verdict is weighted by the
probability of a token; here the judge is asked in both orders (``judges.pairwise``), and says who is better in words.
Its length-controlled rate has a term for how difficult each instruction is, which comes of the verdicts on many models;
here that term is left out (``judges.win_rate``).
"""

from collections.abc import Sequence

from evolvent.evaluation.task import Document, Measure, NoVerdict, Task, Tools
from evolvent.judges.pairwise import VERSIONS, compare
from evolvent.judges.win_rate import length_controlled
from evolvent.models.protocols import Reply
from evolvent.records import Column, Message, Score


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """Whether a reply is better than the reference's; one without text is not.

    Raises:
        NoVerdict: the judge's reply holds none, or the reference has no text.
    """
    reference = document["output"]
    if not reference.strip():
        raise NoVerdict("the reference's answer is empty")
    length = {"length_difference": len(reply) - len(reference)}
    if not reply.strip():
        return {"win": 0.0, "verdicts": "empty", **length}
    assert tools.judge is not None
    asking = tools.judge

    async def ask(turns: Sequence[Message], _: str) -> Reply:
        return await asking(turns)

    found = await compare(ask, document["instruction"], reply, reference)
    if isinstance(found, str):
        raise NoVerdict(found)
    return {**found._asdict(), **length}


ALPACA_EVAL = Task(
    "alpaca_eval",
    "805 instructions, each answer compared with GPT-4 Turbo's (1106) by a judge, in both orders; zero-shot",
    (
        Measure("win rate", "win"),
        Measure("length-controlled", "win", of="length_difference", estimate=length_controlled),
    ),
    judge,
    (Column("verdicts", "string"), Column("length_difference", "int64", "characters")),
    judged=2,
    judge_version="-".join(VERSIONS),
)
