"""How good an answer is, from 0 to 100, as a judge says: what stands in for a reward where no reward model is at hand.

The prompt is our own. An answer is set off with a mark that it cannot hold, so that it cannot close the quotation and
speak to the judge.
"""

import hashlib

from evolvent.judges.replies import read_number
from evolvent.metrics.difficulty import PROMPTS, asking
from evolvent.metrics.metric import Metric
from evolvent.metrics.reward import nothing_to_judge
from evolvent.prompts import load_prompt
from evolvent.records import Column, Record

PROMPT = load_prompt("judge_score", [PROMPTS])

COLUMN = Column("judge_score", "double", "0 to 100", "higher")


def _slots(record: Record) -> dict[str, str] | str:
    mark = hashlib.sha256(f"{record.question}\0{record.output}".encode()).hexdigest()[:12]
    filled = {"mark": mark, "question": record.question, "answer": record.output}
    return nothing_to_judge(record) or filled


JUDGE_SCORE = Metric(
    COLUMN.name,
    ("chat",),
    (COLUMN,),
    asking(COLUMN, PROMPT, _slots, read_number, "the judge's reply gives no score"),
    versions=(PROMPT.version,),
)
