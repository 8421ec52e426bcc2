"""AutoIF, steps 2 to 6 for one instruction: the functions that verify it, and the queries that it is asked with.

Functions and cases are drawn (2), cross-validated (3), translated back (4) and compared with the instruction (5); an
instruction that came so far is *verified*: it draws its queries (6).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace

from evolvent.call_store.ask import ask
from evolvent.call_store.key import call_seed
from evolvent.concurrency import together
from evolvent.errors import CallError
from evolvent.evolution.autoif.back_translation import CONTRADICTION, back_translations, contradicted
from evolvent.evolution.autoif.cross_validation import cross_validate
from evolvent.evolution.autoif.demonstrated import (
    COPIED,
    END_OF_CODE,
    END_OF_LINE,
    END_OF_LIST,
    Demonstrations,
    read_cases,
    read_function,
)
from evolvent.evolution.autoif.functions import Case, Sample, parse_sample
from evolvent.evolution.autoif.queries import combined, drawn
from evolvent.evolution.autoif.rules import METHOD
from evolvent.evolution.autoif.settings import AutoIF, noting
from evolvent.models.protocols import ChatModel, PairClassifier, Reply, StageModels
from evolvent.records import CUT, Message, Record, conversation
from evolvent.runs.stage import Make
from evolvent.sandbox.sandbox import Sandbox

FUNCTIONS, BACK_TRANSLATION = "functions", "back_translation"  # the prompts' names
NO_BACK_TRANSLATION = "no back-translation"


@dataclass(frozen=True, slots=True)
class FindFunctions:
    """Functions looked for, and queries drawn: the work of the evolve stage.

    Attributes:
        how: what functions are looked for with.
        queries: all queries, of which each verified instruction draws some.
    """

    how: AutoIF
    queries: Sequence[str]

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to look for functions; the sandbox is there as long as the context."""
        nli = models.model("relate", self.how.nli) if self.how.nli else None
        async with Sandbox(unsafe=self.how.unsafe) as sandbox:
            tools = Tools(models.chat(self.how.model), sandbox, nli)

            async def find(records: Sequence[Record]) -> list[list[Record]]:
                return [await with_queries(record, self.how, tools, self.queries) for record in records]

            yield find


@dataclass(frozen=True, slots=True)
class Tools:
    """What is open while functions are looked for.

    Attributes:
        model: writes the functions and reads instructions out of them.
        sandbox: where the functions run.
        nli: says whether two instructions contradict each other, if that is asked.
        comparing: held while the cross-encoder works, which takes one instruction after the other anyway: threads that
            wait for their turn would be missing where sandbox processes start.
    """

    model: ChatModel
    sandbox: Sandbox
    nli: PairClassifier | None = None
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one instruction.

    Attributes:
        functions: the functions that cross-validation kept, each with the share of the kept cases it agrees with.
        cases: the cases that it kept.
        back_translations: the instruction that the model read out of each of the first functions.
        counts: for the funnel: samples and why some were of no use, functions, cases, verdicts.
        reason: why the instruction is eliminated; None if it is verified.
    """

    functions: tuple[tuple[str, float], ...]
    cases: tuple[Case, ...]
    back_translations: tuple[str, ...]
    counts: dict[str, int]
    reason: str | None


async def with_queries(record: Record, how: AutoIF, tools: Tools, queries: Sequence[str]) -> list[Record]:
    """One instruction with its fate (round 0), and if it is verified, a row for each query that is drawn for it."""
    try:
        found = await functions_for(record, how, tools)
    except CallError as error:
        return [replace(record, status="failed", reason=str(error))]
    notes = {
        "functions": [{"code": code, "share": share} for code, share in found.functions],
        "cases": [asdict(case) for case in found.cases],
        "back_translations": list(found.back_translations),
        "counts": found.counts,
    }
    instruction = replace(
        record,
        status="eliminated" if found.reason else "ok",
        reason=found.reason,
        meta=noting(record, **notes),
    )
    if found.reason:
        return [instruction]
    chosen = drawn(record.id, queries, how.rules.queries, how.seed)
    return [instruction, *(_with(record, number, query, how) for number, query in enumerate(chosen, 1))]


async def functions_for(record: Record, how: AutoIF, tools: Tools) -> Found:
    """Find functions that verify an instruction, and see whether they check what it says.

    Raises:
        CallError: no sample could be had, or no back-translation; or cross-validation finds too little, and samples
            are missing because their calls failed: with them it might have found more.
    """
    drawn = await together(_sample(record, number, how, tools) for number in range(how.rules.samples))
    failed = [error for error in drawn if isinstance(error, CallError)]
    if failed and len(failed) == len(drawn):
        raise failed[0]
    samples = [sample for sample in drawn if isinstance(sample, Sample)]
    counts = Counter({"samples": len(drawn), "samples read": len(samples)})
    counts.update(
        f"samples: {'call failed' if isinstance(sample, CallError) else sample}"
        for sample in drawn
        if not isinstance(sample, Sample)
    )
    counts.update(f"samples read: salvaged, {sample.salvaged}" for sample in samples if sample.salvaged)
    counts["broken cases"] = sum(sample.broken_cases for sample in samples)
    validated = await cross_validate(samples, how.rules, tools.sandbox)
    functions, cases, reason = validated.functions, validated.cases, validated.reason
    if reason and failed:
        raise CallError(f"{reason}, and {len(failed)} of {len(drawn)} samples could not be had: {failed[0]}")
    counts.update(validated.counts)
    translated: tuple[str, ...] = ()
    if reason is None and how.rules.back_translated:
        found = await _translated(record, [code for code, _ in functions[: how.rules.back_translated]], how, tools)
        translated, reason = (found, None) if found else ((), NO_BACK_TRANSLATION)
    if translated and tools.nli is not None:
        # in a thread: the model is in this process, and other records go on meanwhile
        async with tools.comparing:
            against = await asyncio.to_thread(contradicted, record.instruction, translated, tools.nli)
        reason = CONTRADICTION if against else None
    return Found(functions, cases, translated, dict(counts), reason)


async def _sample(record: Record, number: int, how: AutoIF, tools: Tools) -> Sample | str | CallError:
    """One function with cases, or why there is none. A call that failed leaves the other samples to go on with."""
    if how.demonstrations:
        return await _shown_how(record, number, how, how.demonstrations, tools)
    prompt = how.prompts[FUNCTIONS].render(instruction=record.instruction)
    try:
        reply = await ask(
            tools.model,
            conversation(prompt),
            how.sampling,
            run_seed=how.seed,
            record_id=record.id,
            stage=f"{FUNCTIONS}-{number}",
        )
    except CallError as error:
        return error
    sample = parse_sample(reply.text)
    return CUT.get(reply.finish_reason, sample) if isinstance(sample, str) else sample


async def _shown_how(
    record: Record, number: int, how: AutoIF, shown: Demonstrations, tools: Tools
) -> Sample | str | CallError:
    """One function, then cases for it, each in a reply of its own (the profile small)."""

    async def said(stage: str, turns: Callable[[str, int], list[Message]], stop: tuple[str, ...]) -> Reply:
        asked = turns(record.instruction, call_seed(how.seed, record.id, f"{stage}/turns"))
        sampling = replace(how.sampling, stop=stop)
        return await ask(tools.model, asked, sampling, run_seed=how.seed, record_id=record.id, stage=stage)

    try:
        reply = await said(f"{FUNCTIONS}-{number}", shown.of_functions, END_OF_CODE)
        sample = read_function(reply.text)
        if isinstance(sample, str):
            return CUT.get(reply.finish_reason, sample)
        if shown.copied(sample.code, record.instruction):
            return COPIED
        reply = await said(f"cases-{number}", shown.of_cases, END_OF_LIST)
    except CallError as error:
        return error
    cases, broken = read_cases(reply.text)
    return Sample(sample.code, cases, broken)


async def _translated(record: Record, functions: list[str], how: AutoIF, tools: Tools) -> tuple[str, ...] | None:
    """The instruction behind each function, in the model's words."""
    if how.demonstrations:
        shown, sampling = how.demonstrations, replace(how.sampling, stop=END_OF_LINE)
        found = []
        for number, code in enumerate(functions):
            stage = f"{BACK_TRANSLATION}-{number}"
            turns = shown.of_back_translation(code, call_seed(how.seed, record.id, f"{stage}/turns"))
            said = await ask(tools.model, turns, sampling, run_seed=how.seed, record_id=record.id, stage=stage)
            found.append(said.text.strip())
        return tuple(found) if all(found) else None
    reply = await ask(
        tools.model,
        conversation(how.prompts[BACK_TRANSLATION].render(functions=functions)),
        how.sampling,
        run_seed=how.seed,
        record_id=record.id,
        stage=BACK_TRANSLATION,
        usable=lambda reply: back_translations(reply.text, len(functions)) is not None,
    )
    return back_translations(reply.text, len(functions))


def _with(record: Record, number: int, query: str, how: AutoIF) -> Record:
    """The instruction with one query; paper 1 keeps the two apart, as instruction and input."""
    apart = how.profile == "paper1"
    return replace(
        record,
        id=f"{record.id}/r1/{number}",
        parent_id=record.id,
        round=1,
        method=METHOD,
        operator=None,
        prompt_version=None,
        evolver=how.model,
        instruction=record.instruction if apart else combined(query, record.instruction),
        input=query if apart else "",
        output="",
        messages=None,
        meta=noting(record, instruction=record.instruction, query=query),
    )
