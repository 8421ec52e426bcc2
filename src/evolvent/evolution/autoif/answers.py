"""AutoIF, steps 7 and 8, for one instruction and query: answers, their verification, their quality.

The reasons written into rows that are eliminated, in the order in which they are looked for:

========================  =====================================================================================
``filtered``              a content filter of the server cut or withheld the answer
``refused``, ``empty``    the teacher gave no text, with a refusal in the field that its server has for it or without
``no verdict: WHY``       no function could say whether it follows the instruction; why most of them could not
``fails its functions``   too few of the functions that gave a verdict say that it does
``duplicate``             an earlier answer to the same instruction and query says the same
``no score``              the judge's reply holds no score; "no score: cut at the token limit" if it was cut
``low quality``           the judge's score is too low
========================  =====================================================================================

WizardLM's rules on responses (R2: "sorry" in a short one, R3: stop words and punctuation only) are not applied: an
answer of emojis, or of one apology, may be just what the instruction asks for. The functions and the judge decide.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from evolvent.call_store.ask import ask, why_unusable
from evolvent.concurrency import together
from evolvent.errors import CallError, InputError
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.autoif.settings import AutoIF, noted, noting
from evolvent.models.protocols import ChatModel, Sampling, StageModels
from evolvent.records import CUT, Record, conversation
from evolvent.runs.inputs import StageInput, Wanted, record_file
from evolvent.runs.made_of_inputs import Derived
from evolvent.runs.record_files import read_records
from evolvent.runs.stage import Make
from evolvent.sandbox.sandbox import Sandbox
from evolvent.sandbox.verdicts import Verdict, kind_of
from evolvent.stages import file_of

ANSWER, QUALITY = "answer", "quality"  # the prompts' names

NO_VERDICT = "no verdict"

# What AutoIF's script looks for: not "Score: 8.5", "Score: 9/10", "**Score: 9**", "score: 9" or "Score: 9 ".
PUBLISHED = re.compile(r"Score: (\d+?)$")

# A line's end that gives a score, in the judge's own dress: bold, code, decimals, "/10" or "out of 10", a full stop.
SCORE = re.compile(
    r"\bscore[\s*_`]*[:=][\s*_`]*"
    r"(?P<score>[+-]?\d+(?:\.\d+)?)"
    r"(?:[\s*_`]*(?:/|out\s+of)[\s*_`]*(?P<of>\d+(?:\.\d+)?))?"
    r"[\s*_`.]*$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class AnswerQueries:
    """Queries answered, and answers verified and scored: the work of the respond stage."""

    how: AutoIF

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to answer; the sandbox is there as long as the context."""
        judge = models.chat(self.how.judge) if self.how.judge else None
        async with Sandbox(unsafe=self.how.unsafe) as sandbox:
            tools = Tools(models.chat(self.how.teacher), judge, sandbox)

            async def answer(records: Sequence[Record]) -> list[list[Record]]:
                return [await answered(record, self.how, tools) for record in records]

            yield answer


@dataclass(frozen=True, slots=True)
class Tools:
    """What is open while queries are answered: the teacher, the judge if there is one, and the sandbox."""

    teacher: ChatModel
    judge: ChatModel | None
    sandbox: Sandbox


class Accuracy(NamedTuple):
    """The verdicts on one answer.

    Attributes:
        share: of the functions that gave a verdict, the share that said True; None if none gave one.
        verdicts: how many functions gave a verdict. One that raises, takes too long or returns no bool gives none.
        why_none: where none gave one, the most frequent kind of reason.
    """

    share: float | None
    verdicts: int
    why_none: str | None = None


def with_functions(out: Path, queries: int) -> StageInput:
    """The stage's input: the instructions with a query of a run folder, each with its instruction's functions.

    They are taken from the instruction's own row, which stands before those of its queries: a table of all functions
    would grow with the instructions, and functions.jsonl is the user's, who may have changed it.

    Args:
        out: the run folder.
        queries: the most queries that an instruction has.
    """
    file = record_file(out / file_of("evolve"), Wanted(first_round=1), out=out)
    return Derived(file, partial(_with_functions, file.path, file.wanted, queries), file.rows, file.counts)


def _with_functions(
    path: Path, wanted: Wanted, queries: int, _: StageInput, start: int, __: int
) -> Iterator[tuple[int, Record]]:
    functions: list[str] = []
    first = max(0, start - queries)
    for position, row in enumerate(read_records(path, first), first):
        if row.round == 0:
            functions = [function["code"] for function in noted(row).get("functions", ())]
        elif position >= start and wanted(row.status, row.round):
            yield position, replace(row, meta=noting(row, **noted(row), functions=functions))


async def answered(record: Record, how: AutoIF, tools: Tools) -> list[Record]:
    """The answers to one instruction with one query, each verified and scored.

    Args:
        record: instruction, query and the sources of the functions, in ``meta["autoif"]`` (``with_functions``).
        how: what they are made with.
        tools: what is open for it.

    Returns:
        One row an answer, ``rules.responses`` of them. Its ``meta["autoif"]`` has its ``accuracy`` (the share of the
        functions with a verdict that say True, null without a verdict), the number of ``verdicts``, and its
        ``quality`` (null where no judge was asked).

    Raises:
        InputError: the instruction has no functions.
    """
    notes = noted(record)
    functions = notes.pop("functions", None)
    if not functions:
        raise InputError(
            f"there are no functions for the instruction {record.seed_id}, {notes['instruction']!r}",
            fix="Make the instructions and their functions anew: evolvent evolve … --method autoif --fresh.",
        )
    record = replace(record, meta=noting(record, **notes))
    rows = await together(_draw(record, number, how, tools.teacher) for number in range(how.rules.responses))
    verified = [row for row in rows if row.status == "ok"]
    found = await accuracies(tools.sandbox, functions, [row.output for row in verified])
    seen: set[str] = set()
    for row, accuracy in zip(verified, found, strict=True):
        _note(row, accuracy=accuracy.share, verdicts=accuracy.verdicts)
        _eliminate(row, _why_not(accuracy, how.rules) or ("duplicate" if row.output in seen else None))
        if row.status == "ok":
            seen.add(row.output)
    if tools.judge is not None:
        await together(_judge(row, how, tools.judge) for row in verified if row.status == "ok")
    return rows


async def accuracies(sandbox: Sandbox, functions: Sequence[str], answers: Sequence[str]) -> list[Accuracy]:
    """The accuracy of each answer.

    Args:
        sandbox: where the functions run.
        functions: their sources.
        answers: the answers, each evaluated once however often it occurs.
    """
    distinct = list(dict.fromkeys(answers))
    if not distinct:
        return []
    evaluations = await sandbox.evaluate(functions, distinct)
    of = {
        answer: _accuracy([evaluation.verdicts[index] for evaluation in evaluations])
        for index, answer in enumerate(distinct)
    }
    return [of[answer] for answer in answers]


def quality_score(reply: str, profile: str) -> float | None:
    """The score of a judge's reply, or None if it gives none.

    Args:
        reply: the judge's words.
        profile: ``autoif-code`` reads what AutoIF's script reads, an integer of any size after "Score: " at the end of
            the reply. Any other takes the last line that ends in a score, of 0 to 10.
    """
    if profile == "autoif-code":
        found = PUBLISHED.search(reply)
        return float(found[1]) if found else None
    lines = list(SCORE.finditer(reply))
    if not lines or float(lines[-1]["of"] or 10) != 10:
        return None
    score = float(lines[-1]["score"])
    return score if 0 <= score <= 10 else None


async def _draw(record: Record, number: int, how: AutoIF, teacher: ChatModel) -> Record:
    """One answer, not verified yet."""
    row = replace(
        record,
        id=f"{record.id}/{sha256(teacher.uri.encode()).hexdigest()[:8]}/{number}",
        teacher=teacher.uri,
        output="",
        messages=None,
        finish_reason=None,
        reason=None,
    )
    _note(row, accuracy=None, verdicts=0, quality=None)
    asked = noted(record)
    prompt = how.prompts[ANSWER].render(instruction=asked["instruction"], query=asked["query"])
    sampling = replace(how.sampling, temperature=0.0) if how.rules.responses == 1 else how.sampling
    try:
        reply = await ask(
            teacher,
            conversation(prompt),
            sampling,
            run_seed=how.seed,
            record_id=record.id,
            stage=f"{ANSWER}-{number}",
        )
    except CallError as error:
        row.status, row.reason = "failed", str(error)
        return row
    row.output, row.finish_reason = reply.text, reply.finish_reason
    _eliminate(row, why_unusable(reply))
    return row


async def _judge(row: Record, how: AutoIF, judge: ChatModel) -> None:
    """Score an answer, and eliminate it if the score is too low."""
    assert how.rules.quality is not None
    asked = noted(row)
    prompt = how.prompts[QUALITY].render(instruction=asked["instruction"], query=asked["query"], answer=row.output)
    try:
        reply = await ask(
            judge,
            conversation(prompt),
            Sampling(temperature=0.0, max_tokens=how.sampling.max_tokens),
            run_seed=how.seed,
            record_id=row.id,
            stage=QUALITY,
        )
    except CallError as error:
        row.status, row.reason = "failed", f"the judge: {error}"
        return
    score = quality_score(reply.text, how.profile)
    _note(row, quality=score)
    if score is None:
        _eliminate(row, ": ".join(filter(None, ("no score", CUT.get(reply.finish_reason)))))
    elif not how.rules.quality.passes(score):
        _eliminate(row, "low quality")


def _accuracy(verdicts: Sequence[Verdict]) -> Accuracy:
    given = [verdict.value for verdict in verdicts if verdict.value is not None]
    if given:
        return Accuracy(sum(given) / len(given), len(given))
    [(why, _)] = Counter(kind_of(verdict.reason or "") for verdict in verdicts).most_common(1)
    return Accuracy(None, 0, why)


def _why_not(accuracy: Accuracy, rules: Rules) -> str | None:
    """Why an answer of this accuracy is eliminated, or None if it passes."""
    if rules.response_share is None:
        return None
    if accuracy.share is None:
        return f"{NO_VERDICT}: {accuracy.why_none}"
    return None if rules.response_share.passes(accuracy.share) else "fails its functions"


def _eliminate(row: Record, reason: str | None) -> None:
    if reason:
        row.status, row.reason = "eliminated", reason


def _note(row: Record, **found: float | None) -> None:
    row.meta = noting(row, **noted(row) | found)
