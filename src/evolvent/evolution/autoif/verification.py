"""AutoIF, steps 2 to 5 for one instruction: functions and cases, cross-validation, back-translation, consistency."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from evolvent.calls.ask import ask
from evolvent.errors import CallError
from evolvent.evolution.autoif.back_translation import back_translations
from evolvent.evolution.autoif.consistency import CONTRADICTION, contradicted
from evolvent.evolution.autoif.cross_validation import cross_validate
from evolvent.evolution.autoif.functions import Case, Sample, parse_sample
from evolvent.evolution.autoif.rules import Rules
from evolvent.evolution.evol_instruct import chat
from evolvent.evolution.templates import Prompt
from evolvent.models.protocols import ChatModel, PairClassifier, Sampling
from evolvent.records import Record
from evolvent.runs.execution import together
from evolvent.sandbox.sandbox import Sandbox

FUNCTIONS, BACK_TRANSLATION = "functions", "back_translation"  # the prompts' names
NO_BACK_TRANSLATION = "no back-translation"


@dataclass(frozen=True, slots=True)
class Verification:
    """What instructions are verified with.

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
class Checked:
    """What verification found for one instruction.

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


async def verified(record: Record, run: Verification) -> Checked:
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
    return Checked(functions, cases, translated, dict(counts), reason)


async def _sample(record: Record, number: int, run: Verification) -> Sample | str | CallError:
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


async def _translated(record: Record, functions: list[str], run: Verification) -> tuple[str, ...] | None:
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
