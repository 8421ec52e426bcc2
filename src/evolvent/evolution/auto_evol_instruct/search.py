"""The search for a better evolving method (arXiv 2406.00770, §3): step by step, as the paper describes it.

A step evolves a mini-batch with the current method; several times in parallel the optimizer analyses what came of it
and mends the method; every new method evolves the dev set, and the one with the lowest failure rate becomes the current
one if its rate is lower. The search ends after the last step, at a step that did not lower the rate, and at rate 0.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evolvent.call_store.key import call_seed
from evolvent.call_store.used import Failures, RecordInWork, Used, lasting_failures, record_in_work
from evolvent.concurrency import together
from evolvent.errors import RunError
from evolvent.evolution.auto_evol_instruct.failure_rate import CALL_FAILED, Evaluation, Evolving, evaluate
from evolvent.evolution.auto_evol_instruct.method import Method
from evolvent.evolution.auto_evol_instruct.proposal import FAILED, Candidate, Optimizer, cases_of, propose
from evolvent.evolution.trajectory import trajectory
from evolvent.records import Record
from evolvent.runs.progress import Tell, say, shown

STAGE = "optimize-method"

UNMEASURED = "none of the dev set came to an answer"


@dataclass(frozen=True, slots=True)
class Search:
    """What a search is made with.

    Attributes:
        initial: the method to begin with.
        dev: the dev set.
        pool: where mini-batches are drawn from.
        evolving: how the evolver is asked.
        optimizer: how the optimizer is asked.
        steps: how many steps at the most.
        candidates: methods that a step proposes.
        batch: instructions of a mini-batch.
        rounds: how often a mini-batch is evolved.
        progress: whether, or to whom, progress is shown.
    """

    initial: Method
    dev: Sequence[Record]
    pool: Sequence[Record]
    evolving: Evolving
    optimizer: Optimizer
    steps: int
    candidates: int
    batch: int
    rounds: int
    progress: bool | Tell


@dataclass(slots=True)
class Tried:
    """A candidate and what came of it.

    Attributes:
        candidate: what the optimizer made.
        same_as: the current method or the earlier candidate that it equals, if it does: it is not evaluated again.
        evaluation: what became of the dev set; None if it was not evaluated.
    """

    candidate: Candidate
    same_as: str | None = None
    evaluation: Evaluation | None = None


@dataclass(slots=True)
class Step:
    """One step.

    Attributes:
        number: from 1 on.
        batch: the mini-batch.
        fates: what became of its evolutions.
        tried: the candidates, in their order.
        chosen: the number of the one that became the method; None if none did.
        used: what evolving the mini-batch took, by the models' URIs.
    """

    number: int
    batch: Sequence[Record]
    fates: Counter[str]
    tried: list[Tried]
    chosen: int | None = None
    used: dict[str, Used] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """The state of a search.

    Attributes:
        initial: the method that it began with.
        initial_evaluation: what became of the dev set with it.
        initial_used: what that took, by the models' URIs.
        method: the current method, the best so far.
        evaluation: what became of the dev set with the current method.
        steps: the steps so far.
        stopped: why the search ended; None if it has not.
    """

    initial: Method
    initial_evaluation: Evaluation
    initial_used: dict[str, Used]
    method: Method
    evaluation: Evaluation
    steps: list[Step] = field(default_factory=list)
    stopped: str | None = None

    def used(self) -> dict[str, Used]:
        """What the whole search took so far, by the models' URIs."""
        total: dict[str, Used] = {}
        parts = [self.initial_used]
        for step in self.steps:
            parts += [step.used, *(tried.candidate.used for tried in step.tried)]
        for part in parts:
            for uri, used in part.items():
                total.setdefault(uri, Used()).add(used)
        return total


def calls_at_most(*, steps: int, candidates: int, batch: int, rounds: int, dev: int) -> tuple[int, int]:
    """The calls of a search that takes every step, and whose candidates are all usable and different.

        2 dev + steps (batch rounds + 2 candidates + 2 candidates dev)

    Returns:
        Those of the evolver, and those of the optimizer.
    """
    evolver = 2 * dev + steps * (batch * rounds + 2 * candidates * dev)
    return evolver, steps * 2 * candidates


def in_words(*, steps: int, candidates: int, batch: int, rounds: int, dev: int) -> tuple[str, ...]:
    """The calls of a search at the most, a line each."""
    evolver, optimizer = calls_at_most(steps=steps, candidates=candidates, batch=batch, rounds=rounds, dev=dev)
    return (
        f"at most {evolver + optimizer:,} calls: 2 dev + steps (batch rounds + 2 candidates + 2 candidates dev)",
        f"  evolver {evolver:,}: the initial method evolves and answers the dev set (2 x {dev:,}); each of {steps:,} "
        f"steps evolves a mini-batch ({batch:,} x {rounds:,}) and tries its candidates on the dev set "
        f"(2 x {candidates:,} x {dev:,})",
        f"  optimizer {optimizer:,}: each of {steps:,} steps asks for an analysis and a method for each candidate "
        f"(2 x {candidates:,})",
        "an upper bound: a step that does not lower the failure rate ends the search, and candidates that are unusable "
        "or equal are not tried",
    )


async def search(run: Search, note: Callable[[Found], None], noted: int = 0) -> Found:
    """Search for a method with a lower failure rate than the initial one.

    A call that failed for good is not made again. When the search is gone on with, that holds for what was noted: the
    steps that were decided come out as they did. In the first step that was not, calls that failed are made again.

    Args:
        run: what the search is made with.
        note: writes down how it stands: after the initial method was measured, and after every step.
        noted: how often that was done before the search was stopped; it is not done again for an earlier state.

    Returns:
        How it ended.

    Raises:
        RunError: nothing could be measured, or every call of a step failed.
    """
    failures = Failures(decided=noted > 0)
    lasting_failures.set(failures)
    used: dict[str, Used] = {}
    with shown(f"{STAGE}, initial method", len(run.dev), show=run.progress) as advance:
        evaluation = await evaluate(run.initial, run.dev, run.evolving, "initial", used, advance)
    if evaluation.calls_failed == evaluation.rows:
        raise _no_answers(evaluation)
    found = Found(run.initial, evaluation, used, run.initial, evaluation)
    found.stopped = _ended(found, run.steps)
    await _note(found, note, noted)
    while found.stopped is None:
        before = found.evaluation.rate
        failures.decided = len(found.steps) + 1 < noted
        step = await _step(len(found.steps) + 1, found, run)
        found.steps.append(step)
        found.stopped = _ended(found, run.steps)
        await _note(found, note, noted)
        if run.progress:
            by = f"candidate {step.chosen}" if step.chosen else "no candidate is better"
            rates = f"failure rate {before:.3f}, now {found.evaluation.rate:.3f}"
            say(f"{STAGE}, step {step.number}: {rates}; {by}")
    if found.evaluation.unmeasured:
        raise _no_answers(evaluation)
    return found


async def _note(found: Found, note: Callable[[Found], None], noted: int) -> None:
    """Have it written down how a search stands, unless it was further on before it was stopped."""
    if 1 + len(found.steps) >= noted or found.stopped:
        await asyncio.to_thread(note, found)


async def _step(number: int, found: Found, run: Search) -> Step:
    """One step; if a candidate has a lower failure rate than the current method, it is the method afterwards."""
    batch = drawn_batch(number, run.pool, run.batch, run.evolving.seed)
    used: dict[str, Used] = {}
    trajectories = await _trajectories(batch, found.method, run, f"step-{number}/batch", used)
    evolutions = [record for records in trajectories for record in records[1:]]
    fates = Counter(
        f"eliminated: {record.reason}" if record.status == "eliminated" else record.status for record in evolutions
    )
    cases = cases_of(trajectories)
    if not cases:
        raise _all_failed(f"call of step {number}'s mini-batch", f"{evolutions[0].reason}")

    async def proposed(candidate: int) -> Candidate:
        name = f"step-{number}/candidate-{candidate}"
        in_work = RecordInWork(name)
        record_in_work.set(in_work)
        made = await propose(candidate, name, found.method, cases, run.optimizer)
        made.used = in_work.used
        return made

    candidates = await together(proposed(candidate) for candidate in range(1, run.candidates + 1))
    if all((candidate.problem or "").startswith(FAILED) for candidate in candidates):
        raise _all_failed(f"call for a candidate of step {number}", f"{candidates[0].problem}".removeprefix(FAILED))
    tried = _distinct(candidates, found.method)
    await _evaluate(tried, number, run)
    step = Step(number, batch, fates, tried, used=used)
    best = best_of(tried)
    if best is not None and best.evaluation is not None and _is_better(best.evaluation, found.evaluation):
        assert best.candidate.method is not None
        step.chosen = best.candidate.number
        found.method, found.evaluation = best.candidate.method, best.evaluation
    return step


def drawn_batch(step: int, pool: Sequence[Record], size: int, seed: int) -> list[Record]:
    """The mini-batch of a step: drawn by the run's seed and the step's number; other steps may draw the same rows."""
    return random.Random(call_seed(seed, f"step-{step}", "batch")).sample(pool, size)


async def _trajectories(
    batch: Sequence[Record], method: Method, run: Search, calls_of: str, used: dict[str, Used]
) -> list[list[Record]]:
    applied = run.evolving.by(method, run.rounds)

    async def one(row: Record) -> list[Record]:
        record_in_work.set(RecordInWork(f"{calls_of}/{row.id}", used))
        async with run.evolving.at_once:
            return await trajectory(row, applied, run.evolving.evolver)

    return await together(one(row) for row in batch)


def _distinct(candidates: Sequence[Candidate], current: Method) -> list[Tried]:
    """The candidates, each that equals the current method or an earlier candidate marked so."""
    names = {current.text: "the current method"}
    tried = []
    for candidate in candidates:
        same_as = None
        if candidate.method is not None:
            same_as = names.get(candidate.method.text)
            names.setdefault(candidate.method.text, f"candidate {candidate.number}")
        tried.append(Tried(candidate, same_as))
    return tried


async def _evaluate(tried: Sequence[Tried], step: int, run: Search) -> None:
    """Evaluate the candidates that are usable and new, all at once."""
    new = [one for one in tried if one.candidate.method is not None and one.same_as is None]
    if not new:
        return
    with shown(f"{STAGE}, step {step}", len(new) * len(run.dev), show=run.progress) as advance:

        async def one(this: Tried) -> None:
            assert this.candidate.method is not None
            name = f"step-{step}/candidate-{this.candidate.number}"
            used = this.candidate.used
            this.evaluation = await evaluate(this.candidate.method, run.dev, run.evolving, name, used, advance)
            if this.evaluation.unmeasured:
                this.candidate.problem = UNMEASURED

        await together(one(this) for this in new)
    measured = [one.evaluation for one in new if one.evaluation is not None]
    if all(evaluation.calls_failed == evaluation.rows for evaluation in measured):
        # The search would end here for good, and nothing would be wrong with the candidates.
        first = next(iter(measured[0].reasons)).removeprefix(CALL_FAILED)
        raise _all_failed(f"call to evaluate a candidate of step {step}", first)


def _all_failed(what: str, words: str) -> RunError:
    return RunError(f"every {what} failed; the first: {words}", fix="Mend the cause and start the same command again.")


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """The evaluated candidate with the fewest failures, the earlier one of two that tie; None if there is none."""
    measured = [one for one in tried if one.evaluation is not None and not one.evaluation.unmeasured]
    return min(measured, key=lambda one: one.evaluation.failed if one.evaluation else 0, default=None)


def _is_better(candidate: Evaluation, current: Evaluation) -> bool:
    """Whether a method that came to answers fails less often, or the current one came to none at all."""
    return current.unmeasured or candidate.failed < current.failed


def _ended(found: Found, steps: int) -> str | None:
    """Why the search ends here, or None if it goes on: as long as no method came to an answer, to the last step."""
    last = found.steps[-1] if found.steps else None
    if found.evaluation.unmeasured:
        return f"all {steps} steps are done" if len(found.steps) == steps else None
    if last is not None and last.chosen is None:
        if all(one.candidate.method is None for one in last.tried):
            return f"step {last.number} has no usable candidate"
        return f"no candidate of step {last.number} has a lower failure rate"
    if found.evaluation.failed == 0:
        return "the failure rate is 0"
    if len(found.steps) == steps:
        return f"all {steps} steps are done"
    return None


def _no_answers(initial: Evaluation) -> RunError:
    reasons = ", ".join(f"{reason}: {rows:,}" for reason, rows in initial.reasons.most_common(3))
    return RunError(
        f"the initial method came to no answer in all {initial.rows:,} rows of the dev set ({reasons}), and no method "
        "made of its failures did",
        fix="The evolver has to keep to the format of the method: see evolvent calls on the run folder.",
    )
