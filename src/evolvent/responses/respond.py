"""The respond stage: one teacher or several answer instructions, one row for each teacher and instruction."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from evolvent.call_store.ask import ask
from evolvent.concurrency import together
from evolvent.errors import CallError
from evolvent.models.models import Models, chat_need, opened
from evolvent.models.protocols import ChatModel, Sampling, StageModels
from evolvent.models.uri import parse_uri
from evolvent.options import Calling, Reading, implements
from evolvent.records import Message, Record, conversation
from evolvent.responses.answer_rules import eliminate_response
from evolvent.responses.options import RESPOND, Respond
from evolvent.runs.dry_run import ANSWER_TOKENS
from evolvent.runs.engine import run
from evolvent.runs.inputs import Data, Wanted, check_taken, stage_input
from evolvent.runs.pilot import preview
from evolvent.runs.run import Run
from evolvent.runs.stage import Make, Rehearsed, Stage, chat_settings
from evolvent.stages import read_by
from evolvent.words import other_language

STAGE = "respond"
OTHER_LANGUAGE = "not English: rules R2 and R3 not applied"
FIRST_TURN_ONLY = "a conversation of several turns: the first was answered"


@implements(RESPOND)
def respond(
    data: Data,
    *,
    given: Respond,
    reading: Reading,
    calling: Calling,
    models: Models | None = None,
) -> Run:
    """Let teachers answer: OUT/responses.parquet.

    One row for each teacher and instruction. Of a run folder the surviving evolutions are answered (status ok, round 1
    and later); of a data file every row. A row's own output is replaced. An answer that is cut at the token limit
    stays, with finish_reason ``length``.

    Returns:
        The run: its path, counts, and the responses; of a preview its ``preview`` holds what was made.

    Raises:
        InputError: wrong options, unreadable data, nothing to answer, or a run folder that holds something else.
        ModelUnavailableError: a teacher cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    with opened(models) as shared:
        stage = respond_stage(data, given, reading, calling)
        if given.preview:
            return preview(stage, given.out, given.preview, shared, calling)
        return run(stage, given.out, shared, calling)


def respond_stage(data: Data, given: Respond, reading: Reading, calling: Calling) -> Stage:
    """The stage that lets teachers answer.

    Raises:
        InputError: wrong options, unreadable data, or nothing to answer.
    """
    how = Answering(
        teachers=tuple(str(parse_uri(uri)) for uri in given.teacher),
        sampling=Sampling(given.temperature, given.top_p, given.max_tokens),
        seed=given.seed,
        system=given.system,
    )
    source = stage_input(
        data,
        before=read_by(STAGE),
        out=given.out,
        wanted=Wanted(first_round=1) if given.round is None else Wanted(("ok",), given.round, given.round),
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )
    check_taken(source, "answer")
    return Stage(
        name=STAGE,
        settings={
            "teacher": how.teachers,
            "round": given.round,
            "limit": reading.limit,
            "system": given.system,
            **chat_settings(given, calling),
        },
        source=source,
        needs=tuple(chat_need(uri, calling) for uri in given.teacher),
        work=how,
        group=by_teacher,
        counts={"instructions": source.rows, **source.counts},
        dry_run=Rehearsed(reply_tokens=ANSWER_TOKENS),
        calls_each=len(how.teachers),
        grows=("limit", "max_tokens", "input"),
    )


@dataclass(frozen=True, slots=True)
class Answering:
    """What instructions are answered with; the work of the respond stage.

    Attributes:
        teachers: the teachers' URIs, as records hold them.
        sampling: how answers are drawn.
        seed: the run's seed.
        system: system prompt of the teachers, if any.
    """

    teachers: tuple[str, ...]
    sampling: Sampling
    seed: int
    system: str | None

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to answer one instruction at a time."""
        teachers = [models.chat(uri) for uri in self.teachers]

        async def answer_all(records: Sequence[Record]) -> list[list[Record]]:
            return [
                await together(answer(record, teacher, self.sampling, self.seed, self.system) for teacher in teachers)
                for record in records
            ]

        yield answer_all


def by_teacher(record: Record) -> str | None:
    """What a row is counted under."""
    return record.teacher


async def answer(record: Record, teacher: ChatModel, sampling: Sampling, seed: int, system: str | None) -> Record:
    """One teacher's answer to one instruction, judged by rules R2 and R3."""
    answered = replace(
        record,
        id=f"{record.id}/{hashlib.sha256(teacher.uri.encode()).hexdigest()[:8]}",
        teacher=teacher.uri,
        output="",
        messages=None,
        finish_reason=None,
        scores={},  # those of an input that was scored are another answer's
    )
    turns = question(record, system)
    try:
        reply = await ask(teacher, turns, sampling, run_seed=seed, record_id=answered.id, stage=STAGE)
    except CallError as error:
        return replace(answered, status="failed", reason=str(error))
    if record.messages:
        answered.messages = [*turns, Message(role="assistant", content=reply.text)]
    reason = eliminate_response(reply)
    note = "; ".join(_notes(record, reply.text)) or None
    return replace(
        answered,
        output=reply.text,
        finish_reason=reply.finish_reason,
        status="eliminated" if reason else "ok",
        reason=reason or note,
    )


def _notes(record: Record, text: str) -> Iterator[str]:
    """What is to be said of an answer that passes."""
    if other_language(text):
        yield OTHER_LANGUAGE
    if sum(turn["role"] == "user" for turn in record.messages or ()) > 1:
        yield FIRST_TURN_ONLY


def question(record: Record, system: str | None) -> list[Message]:
    """What a teacher is sent: one system turn, then the instruction with its input (a conversation's first user turn).

    Many chat templates take no second system turn, so a conversation's own and the teacher's are joined.
    """
    systems = [turn["content"] for turn in record.messages or [] if turn["role"] == "system"]
    given = "\n\n".join([*systems, *([system] if system else [])])
    return conversation(record.question, given)
