"""The respond stage: one teacher or several answer instructions, one row for each teacher and instruction."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from evolvent.calls.ask import ask
from evolvent.errors import CallError, InputError
from evolvent.models.protocols import ChatModel, Sampling
from evolvent.models.uri import parse_uri
from evolvent.records import Message, Record
from evolvent.responses.answer_rules import eliminate_response, other_language
from evolvent.runs.execution import together
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, stage_input
from evolvent.runs.rehearsal import ANSWER_TOKENS, Work
from evolvent.runs.stage import Calling, run_stage

STAGE = "respond"
OTHER_LANGUAGE = "not English: rules R2 and R3 not applied"
FIRST_TURN_ONLY = "a conversation of several turns: the first was answered"


def respond(
    data: Data,
    *,
    teacher: str | Sequence[str],
    out: str | Path,
    round: int | None = None,
    system: str | None = None,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    seed: int = 0,
    temperature: float = 0.0,
    top_p: float = 1.0,
    max_tokens: int = 2048,
    extra_body: Mapping[str, object] | None = None,
    **calling: Unpack[Calling],
) -> Run:
    """Let teachers answer instructions: one row for each teacher and instruction, in ``OUT/responses.parquet``.

    Of a run folder the surviving evolutions are answered (status ok, round 1 and later); of a data file every row. A
    row's own output is replaced. An answer that is cut at the token limit stays, with finish_reason ``length``.

    Args:
        data: a run folder or Run, a data file, a Hub id, an iterable of dicts, or a datasets.Dataset.
        teacher: URI of the teacher, or several.
        out: the run folder.
        round: answer one round of a run only; 0 answers the seeds.
        system: system prompt for the teachers; a conversation's own comes before it, in the same turn.
        format: the data's format; detected if None.
        map: for data of no known format, which column is the instruction, the input, the output.
        skip_bad: leave bad rows out (counted) instead of stopping.
        limit: answer the first so many instructions only.
        seed: the run's random seed.
        temperature: of the teachers; 0 is greedy.
        top_p: nucleus mass.
        max_tokens: longest answer, in tokens.
        extra_body: extra request fields for ``openai:`` models.
        calling: how calls are made: concurrency, caps, price, budget, retry_failed, fresh, progress (see ``Calling``).

    Returns:
        The run: its path, counts, and the responses.

    Raises:
        InputError: wrong options, unreadable data, nothing to answer, or a run folder that holds something else.
        ModelUnavailableError: a teacher cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    teachers = [teacher] if isinstance(teacher, str) else list(teacher)
    if not teachers:
        raise InputError("no teacher is named", fix="Name one: --teacher URI.")
    names = [str(parse_uri(uri)) for uri in teachers]
    if len(set(names)) < len(names):
        raise InputError(f"a teacher is named twice: {', '.join(names)}")
    sampling = Sampling(temperature, top_p, max_tokens)
    settings = {
        "teacher": names,
        "round": round,
        "limit": limit,
        "system": system,
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "extra_body": dict(extra_body) if extra_body else None,
    }

    def wanted(status: str, made_in: int) -> bool:
        return status == "ok" and (made_in >= 1 if round is None else made_in == round)

    source = stage_input(
        data,
        before="evolve",
        out=Path(out),
        wanted=wanted,
        format=format,
        map=map,
        skip_bad=skip_bad,
        limit=limit,
    )
    if not source.rows:
        raise InputError(
            f"{source.source['source']} holds nothing to answer", fix="See what it holds: evolvent show RUN."
        )

    def work(models: Mapping[str, ChatModel]) -> Work:
        async def answer_all(record: Record) -> list[Record]:
            return await together(answer(record, models[name], sampling, seed, system) for name in names)

        return answer_all

    return run_stage(
        STAGE,
        out,
        settings=settings,
        source=source,
        models=teachers,
        work=work,
        group=lambda record: record.teacher,
        counts={"instructions": source.rows, **source.counts},
        extra_body=extra_body,
        reply_tokens=ANSWER_TOKENS,
        **calling,
    )


async def answer(record: Record, teacher: ChatModel, sampling: Sampling, seed: int, system: str | None) -> Record:
    """One teacher's answer to one instruction, judged by rules R2 and R3."""
    answered = replace(
        record,
        id=f"{record.id}/{hashlib.sha256(teacher.uri.encode()).hexdigest()[:8]}",
        teacher=teacher.uri,
        output="",
        messages=None,
        finish_reason=None,
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
    said = [turn["content"] for turn in record.messages or [] if turn["role"] == "system"]
    given = "\n\n".join([*said, *([system] if system else [])])
    turns = [Message(role="system", content=given)] if given else []
    return [*turns, Message(role="user", content=record.question)]
