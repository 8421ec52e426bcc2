"""Evol-Instruct (WizardLM, arXiv 2304.12244; as used by arXiv 2412.11231, App. A.1): one seed, round after round.

Each round rewrites the instruction with one operator: four go in depth (constraints, deepening, concretizing,
reasoning), one in breadth. Operators come in a fixed order, not at random, so that two evolvers evolve a seed alike.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evolvent.calls.ask import ask
from evolvent.errors import CallError
from evolvent.evolution.elimination import eliminate, judged_equal, strip_marker
from evolvent.evolution.templates import Prompt
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Message, Record

METHOD = "evol-instruct"
IN_DEPTH = ("constraints", "deepening", "concretizing", "reasoning")
BREADTH = "breadth"
NO_VERDICT = "judge gave no verdict"

Profile = Literal["default", "paper"]


@dataclass(frozen=True, slots=True)
class EvolInstruct:
    """What an Evol-Instruct run is made with.

    Attributes:
        evolver: the model that rewrites.
        operators: the prompts in their order; operator of round r of seed i = (i + r - 1) mod K.
        rounds: how many times each seed is evolved.
        profile: ``default`` shows the evolver the input and eliminates; ``paper`` does what paper 1's code does.
        sampling: how the evolver's replies are drawn.
        seed: the run's seed.
        judge: the model that says whether an evolution gains information, if any.
        equality: the judge's prompt.
        system: system prompt of the evolver, if any.
    """

    evolver: ChatModel
    operators: Sequence[Prompt]
    rounds: int
    profile: Profile
    sampling: Sampling
    seed: int
    judge: ChatModel | None = None
    equality: Prompt | None = None
    system: str | None = None


async def trajectory(seed: Record, run: EvolInstruct) -> list[Record]:
    """Evolve one seed through all rounds.

    An evolution that is eliminated or failed stays in the trajectory with its reason; its parent goes on.

    Returns:
        The seed (round 0) and one record for each round.
    """

    def once(parent: Record, round: int) -> Awaitable[Record]:
        return evolve_once(parent, round, run.operators[(seed.seed_index + round - 1) % len(run.operators)], run)

    return await through_rounds(seed, run.rounds, once)


async def through_rounds(seed: Record, rounds: int, once: Callable[[Record, int], Awaitable[Record]]) -> list[Record]:
    """The seed and its evolution of each round, each made from the last that survived."""
    records, parent = [seed], seed
    for round in range(1, rounds + 1):
        evolved = await once(parent, round)
        records.append(evolved)
        if evolved.status == "ok":
            parent = evolved
    return records


async def evolve_once(parent: Record, round: int, prompt: Prompt, run: EvolInstruct) -> Record:
    """Evolve one instruction with one operator, and judge the result."""
    record = Record(
        id=f"{parent.seed_id}/r{round}",
        seed_id=parent.seed_id,
        seed_index=parent.seed_index,
        parent_id=parent.id,
        round=round,
        method=METHOD,
        operator=prompt.name,
        prompt_version=prompt.version,
        evolver=run.evolver.uri,
        instruction="",
        input=_input_after(parent, prompt, run.profile),
        meta=parent.meta,
    )
    seen = parent.input if run.profile == "default" else ""
    try:
        reply = await ask(
            run.evolver,
            chat(prompt.render(instruction=parent.instruction, input=seen), run.system),
            run.sampling,
            run_seed=run.seed,
            record_id=record.id,
            stage="evolve",
            # Paper 1's code keeps an empty generation; the default tries again with another seed.
            attempts=3 if run.profile == "default" else 1,
        )
        text = reply.text.strip() if run.profile == "paper" else strip_marker(reply.text, parent.instruction)
        take_instruction(record, parent, text, reply)
        if run.profile == "paper":
            return record
        reason = eliminate(parent.instruction, record.instruction, reply)
        if reason is None and run.judge is not None:
            reason, record.reason = await no_gain(parent, record, run.judge, run.equality, run.sampling, run.seed)
    except CallError as error:
        record.status, record.reason = "failed", str(error)
        return record
    if reason:
        record.status, record.reason = "eliminated", reason
    return record


def chat(prompt: str, system: str | None) -> list[Message]:
    """A conversation of one user turn, after a system prompt if there is one."""
    turns = [Message(role="system", content=system)] if system else []
    return [*turns, Message(role="user", content=prompt)]


def take_instruction(record: Record, parent: Record, text: str, reply: Reply) -> None:
    """Put the evolved instruction into the record; a conversation's system turn stays with it."""
    system = [turn for turn in parent.messages or () if turn["role"] == "system"]
    record.instruction, record.finish_reason = text, reply.finish_reason
    record.messages = [*system, Message(role="user", content=text)] if system and text else None


def _input_after(parent: Record, prompt: Prompt, profile: Profile) -> str:
    """The evolution's input: a prompt new in breadth stands alone, unless paper 1's code is followed."""
    return "" if prompt.name == BREADTH and profile == "default" else parent.input


async def no_gain(
    parent: Record, record: Record, judge: ChatModel, equality: Prompt | None, sampling: Sampling, run_seed: int
) -> tuple[str | None, str | None]:
    """R1: the elimination reason if the judge finds the two equal; a note if it gives no verdict (the record stays).

    Args:
        parent, record: what is compared.
        judge: the model that is asked.
        equality: its prompt.
        sampling: the evolver's; the judge is greedy and its reply may be as long.
        run_seed: the run's seed.
    """
    assert equality is not None
    question = equality.render(first=parent.question, second=record.question)
    greedy = Sampling(temperature=0.0, max_tokens=sampling.max_tokens)
    reply = await ask(judge, chat(question, None), greedy, run_seed=run_seed, record_id=record.id, stage="judge")
    verdict = judged_equal(reply)
    if verdict is None:
        return None, NO_VERDICT
    return ("equal" if verdict else None), None
