"""AutoIF, steps 2 to 6 for one instruction: the functions that verify it, and the queries that it is asked with.

Functions and cases are drawn (2), cross-validated (3), translated back (4) and compared with the instruction (5); an
instruction that came so far is *verified*: it draws its queries (6).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from evolvent.calls.stored import ask
from evolvent.errors import CallError
from evolvent.evolution.autoif.back_translation import CONTRADICTION, back_translations, contradicted
from evolvent.evolution.autoif.cross_validation import cross_validate
from evolvent.evolution.autoif.functions import Case, Sample, parse_sample
from evolvent.evolution.autoif.meta import noting
from evolvent.evolution.autoif.queries import combined, drawn
from evolvent.evolution.autoif.rules import METHOD, Rules
from evolvent.evolution.evol_instruct import chat
from evolvent.evolution.templates import Prompt
from evolvent.models.protocols import ChatModel, PairClassifier, Sampling
from evolvent.records import Record
from evolvent.runs.execution import together
from evolvent.sandbox.sandbox import Sandbox

FUNCTIONS, BACK_TRANSLATION = "functions", "back_translation"  # the prompts' names
NO_BACK_TRANSLATION = "no back-translation"


@dataclass(frozen=True, slots=True)
class FindFunctions:
    """What functions are looked for with.

    Attributes:
        model: writes the functions and reads instructions out of them.
        rules: how many samples, and how much of them has to agree.
        sampling: how its replies are drawn; AutoIF in paper 1: temperature 0.7, top_p 0.95.
        seed: the run's seed.
        sandbox: where the functions run.
        nli: says whether two instructions contradict each other; None leaves step 5 out.
        prompts: the templates by name, ``functions`` and ``back_translation``.
        comparing: held while the cross-encoder works, which takes one instruction after the other anyway: threads that
            wait for their turn would be missing where sandbox processes start.
    """

    model: ChatModel
    rules: Rules
    sampling: Sampling
    seed: int
    sandbox: Sandbox
    nli: PairClassifier | None
    prompts: Mapping[str, Prompt]
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


async def with_queries(record: Record, *, run: FindFunctions, queries: Sequence[str], profile: str) -> list[Record]:
    """One instruction with its fate (round 0), and if it is verified, a row for each query that is drawn for it."""
    try:
        found = await functions_for(record, run)
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
    chosen = drawn(record.id, queries, run.rules.queries, run.seed)
    evolver = run.model.uri
    return [instruction, *(_with(record, number, query, profile, evolver) for number, query in enumerate(chosen, 1))]


async def functions_for(record: Record, run: FindFunctions) -> Found:
    """Find functions that verify an instruction, and see whether they check what it says.

    Raises:
        CallError: no sample could be had, or no back-translation; or cross-validation finds too little, and samples
            are missing because their calls failed: with them it might have found more.
    """
    drawn = await together(_sample(record, number, run) for number in range(run.rules.samples))
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
    counts["broken cases"] = sum(sample.broken_cases for sample in samples)
    validated = await cross_validate(samples, run.rules, run.sandbox)
    functions, cases, reason = validated.functions, validated.cases, validated.reason
    if reason and failed:
        raise CallError(f"{reason}, and {len(failed)} of {len(drawn)} samples could not be had: {failed[0]}")
    counts.update(validated.counts)
    translated: tuple[str, ...] = ()
    if reason is None and run.rules.back_translated:
        found = await _translated(record, [code for code, _ in functions[: run.rules.back_translated]], run)
        translated, reason = (found, None) if found else ((), NO_BACK_TRANSLATION)
    if translated and run.nli is not None:
        # in a thread: the model is in this process, and other records go on meanwhile
        async with run.comparing:
            against = await asyncio.to_thread(contradicted, record.instruction, translated, run.nli)
        reason = CONTRADICTION if against else None
    return Found(functions, cases, translated, dict(counts), reason)


async def _sample(record: Record, number: int, run: FindFunctions) -> Sample | str | CallError:
    """One function with cases, or why there is none. A call that failed leaves the other samples to go on with."""
    prompt = run.prompts[FUNCTIONS].render(instruction=record.instruction)
    try:
        reply = await ask(
            run.model,
            chat(prompt, None),
            run.sampling,
            run_seed=run.seed,
            record_id=record.id,
            stage=f"{FUNCTIONS}-{number}",
        )
    except CallError as error:
        return error
    sample = parse_sample(reply.text)
    return "cut at the token limit" if isinstance(sample, str) and reply.finish_reason == "length" else sample


async def _translated(record: Record, functions: list[str], run: FindFunctions) -> tuple[str, ...] | None:
    """The instruction behind each function, in the model's words."""
    reply = await ask(
        run.model,
        chat(run.prompts[BACK_TRANSLATION].render(functions=functions), None),
        run.sampling,
        run_seed=run.seed,
        record_id=record.id,
        stage=BACK_TRANSLATION,
        usable=lambda reply: back_translations(reply.text, len(functions)) is not None,
    )
    return back_translations(reply.text, len(functions))


def _with(record: Record, number: int, query: str, profile: str, evolver: str) -> Record:
    """The instruction with one query; paper 1 keeps the two apart, as instruction and input."""
    apart = profile == "paper1"
    return replace(
        record,
        id=f"{record.id}/r1/{number}",
        parent_id=record.id,
        round=1,
        method=METHOD,
        operator=None,
        prompt_version=None,
        evolver=evolver,
        instruction=record.instruction if apart else combined(query, record.instruction),
        input=query if apart else "",
        output="",
        messages=None,
        meta=noting(record, instruction=record.instruction, query=query),
    )
