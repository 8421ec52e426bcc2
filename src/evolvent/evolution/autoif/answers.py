"""AutoIF, steps 6 to 8, for one instruction and query: answers, their verification, their quality.

The reasons written into rows that are eliminated, in the order in which they are looked for:

========================  =====================================================================================
``filtered``              a content filter of the server cut or withheld the answer
``refused``, ``empty``    the teacher gave no text, with a refusal in the field that its server has for it or without
``no verdict``            no function could say whether it follows the instruction
``fails its functions``   too few of the functions that gave a verdict say that it does
``duplicate``             an earlier answer to the same instruction and query says the same
``no score``              the judge's reply holds no score; "no score: cut at the token limit" if it was cut
``low quality``           the judge's score is too low
========================  =====================================================================================

WizardLM's rules on responses (R2: "sorry" in a short one, R3: stop words and punctuation only) are not applied: an
answer of emojis, or of one apology, may be just what the instruction asks for. The functions and the judge decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import orjson

from evolvent.calls.stored import FILTERED, ask
from evolvent.errors import CallError, InputError
from evolvent.evolution.autoif.accuracy import Accuracy, accuracies
from evolvent.evolution.autoif.quality import quality_score
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.evol_instruct import chat
from evolvent.evolution.templates import Prompt
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Record
from evolvent.runs.execution import together
from evolvent.sandbox.sandbox import Sandbox

ANSWER, QUALITY = "answer", "quality"  # the prompts' names


@dataclass(frozen=True, slots=True)
class Answering:
    """What instructions with queries are answered with.

    Attributes:
        teacher: the model that answers.
        judge: the model that scores answers; it is greedy. None where ``rules.quality`` is None.
        rules: how many answers, and which of them pass.
        sampling: how answers are drawn; where only one is drawn it is greedy, as in paper 1.
        seed: the run's seed.
        sandbox: where the functions run.
        functions: the sources of each instruction's functions, by its id.
        prompts: the templates by name, ``answer`` and ``quality``.
        profile: the rules' name; it decides how a score is read.
    """

    teacher: ChatModel
    judge: ChatModel | None
    rules: Rules
    sampling: Sampling
    seed: int
    sandbox: Sandbox
    functions: Mapping[str, Sequence[str]]
    prompts: Mapping[str, Prompt]
    profile: str


async def answered(record: Record, run: Answering) -> list[Record]:
    """The answers to one instruction with one query, each verified and scored.

    Args:
        record: instruction and query, both in ``meta["autoif"]``; its seed is the instruction.
        run: what they are made with.

    Returns:
        One row an answer, ``rules.responses`` of them. Its ``meta["autoif"]`` has its ``accuracy`` (the share of the
        functions with a verdict that say True, null without a verdict), the number of ``verdicts``, and its
        ``quality`` (null where no judge was asked).

    Raises:
        InputError: the instruction has no functions.
    """
    functions = run.functions.get(record.seed_id)
    if not functions:
        raise InputError(
            f"there are no functions for the instruction {record.seed_id}, {_asked(record)['instruction']!r}",
            fix="Make the instructions and their functions anew: evolvent evolve … --method autoif --fresh.",
        )
    rows = await together(_draw(record, number, run) for number in range(run.rules.responses))
    verified = [row for row in rows if row.status == "ok"]
    found = await accuracies(run.sandbox, functions, [row.output for row in verified])
    seen: set[str] = set()
    for row, accuracy in zip(verified, found, strict=True):
        _note(row, accuracy=accuracy.share, verdicts=accuracy.verdicts)
        _eliminate(row, _why_not(accuracy, run.rules) or ("duplicate" if row.output in seen else None))
        if row.status == "ok":
            seen.add(row.output)
    if run.rules.quality is not None:
        await together(_judge(row, run) for row in verified if row.status == "ok")
    return rows


async def _draw(record: Record, number: int, run: Answering) -> Record:
    """One answer, not verified yet."""
    row = replace(
        record,
        id=f"{record.id}/{sha256(run.teacher.uri.encode()).hexdigest()[:8]}/{number}",
        teacher=run.teacher.uri,
        output="",
        messages=None,
        finish_reason=None,
        reason=None,
    )
    _note(row, accuracy=None, verdicts=0, quality=None)
    asked = _asked(record)
    prompt = run.prompts[ANSWER].render(instruction=asked["instruction"], query=asked["query"])
    sampling = replace(run.sampling, temperature=0.0) if run.rules.responses == 1 else run.sampling
    try:
        reply = await ask(
            run.teacher,
            chat(prompt, None),
            sampling,
            run_seed=run.seed,
            record_id=record.id,
            stage=f"{ANSWER}-{number}",
        )
    except CallError as error:
        row.status, row.reason = "failed", str(error)
        return row
    row.output, row.finish_reason = reply.text, reply.finish_reason
    _eliminate(row, _unusable(reply))
    return row


async def _judge(row: Record, run: Answering) -> None:
    """Score an answer, and eliminate it if the score is too low."""
    assert run.rules.quality is not None
    assert run.judge is not None
    asked = _asked(row)
    prompt = run.prompts[QUALITY].render(instruction=asked["instruction"], query=asked["query"], answer=row.output)
    try:
        reply = await ask(
            run.judge,
            chat(prompt, None),
            Sampling(temperature=0.0, max_tokens=run.sampling.max_tokens),
            run_seed=run.seed,
            record_id=row.id,
            stage=QUALITY,
        )
    except CallError as error:
        row.status, row.reason = "failed", f"the judge: {error}"
        return
    score = quality_score(reply.text, run.profile)
    _note(row, quality=score)
    if score is None:
        _eliminate(row, "no score: cut at the token limit" if reply.finish_reason == "length" else "no score")
    elif not run.rules.quality.passes(score):
        _eliminate(row, "low quality")


def _why_not(accuracy: Accuracy, rules: Rules) -> str | None:
    """Why an answer of this accuracy is eliminated, or None if it passes."""
    if rules.response_share is None:
        return None
    if accuracy.share is None:
        return "no verdict"
    return None if rules.response_share.passes(accuracy.share) else "fails its functions"


def _unusable(reply: Reply) -> str | None:
    """Why there is nothing to verify, or None."""
    if reply.finish_reason == FILTERED:
        return "filtered"
    if not reply.text.strip():
        return "refused" if reply.refusal else "empty"
    return None


def _eliminate(row: Record, reason: str | None) -> None:
    if reason:
        row.status, row.reason = "eliminated", reason


def _asked(record: Record) -> dict[str, str]:
    """What ``meta["autoif"]`` says: the instruction and the query."""
    asked: dict[str, str] = orjson.loads(record.meta or "{}")["autoif"]
    return asked


def _note(row: Record, **found: float | None) -> None:
    """Write what was found into ``meta["autoif"]``."""
    meta = orjson.loads(row.meta or "{}")
    meta["autoif"] |= found
    row.meta = orjson.dumps(meta).decode()
