"""A trajectory: one seed, evolved round after round (WizardLM, arXiv 2304.12244; arXiv 2412.11231, App. A.1).

What the methods share. How an instruction is rewritten they say by a ``Rewriting``: Evol-Instruct has several, its
operators, which take their turns; Auto Evol-Instruct has one, its evolving method.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from evolvent.call_store.ask import ask, note_redrawn, why_cut, why_unusable
from evolvent.call_store.key import call_seed
from evolvent.errors import CallError
from evolvent.evolution.elimination import eliminate
from evolvent.evolution.judging import finds_equal, try_judge
from evolvent.models.output_breadth import POSITIONS, output_breadth
from evolvent.models.protocols import ChatModel, Reply, Sampling, StageModels
from evolvent.prompts import Prompt
from evolvent.records import Message, Record
from evolvent.runs.stage import Make, notes_of

Profile = Literal["default", "small", "paper"]

STAGE = "evolve"
ATTEMPTS = 3  # of a draw, until its reply can be read
NO_VERDICT = "judge gave no verdict"
NO_LOGPROBS = "the evolver gives no log probabilities"

# The reply holds no text where the evolution has to stand; the record keeps the whole reply as its instruction.
UNPARSED = "unparsed"


class Rewriting(Protocol):
    """How an instruction is rewritten: plain data.

    Attributes:
        method: the method that it belongs to.
        operator: its name; None where the method has no operators.
        version: that of its prompt.
        breadth: whether it makes a new instruction beside the old one, and no harder one of it.
        scaffold: words of its prompt that must not leak into an instruction, casefolded.
        stop: texts before which a reply ends.
        reply_tokens: how long a reply may be at the most; None where only the run's ``max_tokens`` bounds it.
        hottest: the highest temperature that it is drawn at; None where the run's own holds.
    """

    @property
    def method(self) -> str: ...

    @property
    def operator(self) -> str | None: ...

    @property
    def version(self) -> str: ...

    @property
    def breadth(self) -> bool: ...

    @property
    def scaffold(self) -> Collection[str]: ...

    @property
    def stop(self) -> tuple[str, ...]: ...

    @property
    def reply_tokens(self) -> int | None: ...

    @property
    def hottest(self) -> float | None: ...

    def turns(self, parent: Record, profile: Profile, seed: int) -> list[Message]:
        """What the evolver is asked; ``seed`` decides what is drawn for it."""
        ...

    def read(self, reply: Reply, parent: Record, profile: Profile) -> str | None:
        """The evolved instruction in a reply; None if the reply cannot be read."""
        ...

    def own(self, evolved: str, parent: Record) -> str | None:
        """What of an evolved instruction the evolver made up, where it only added to the parent's; None for all."""
        ...

    def input_after(self, parent: Record, profile: Profile) -> str:
        """The input that goes with the evolved instruction."""
        ...

    def meta(self, seed: Record, reply: Reply) -> str | None:
        """What the record keeps beside it, JSON text."""
        ...


@dataclass(frozen=True, slots=True)
class Evolution:
    """What seeds are evolved with; the work of the evolve stage.

    Attributes:
        evolver: URI of the model that rewrites, as records hold it.
        rewritings: the rewritings in their order; that of round r of seed i is number (i + r - 1) mod K.
        rounds: how many times each seed is evolved.
        profile: ``default`` shows the evolver the input and eliminates; ``small`` does so, too, and shows it how;
            ``paper`` does what paper 1's code does.
        sampling: how the evolver's replies are drawn, and whether with log probabilities.
        seed: the run's seed.
        judge: URI of the model that says whether an evolution gains information, if any.
        equality: the judge's prompt.
        system: system prompt of the evolver, if any, instead of the rewriting's own.
        retries: how often an eliminated evolution is drawn again before the record goes on.
        without: rules of elimination that are switched off.
    """

    evolver: str
    rewritings: tuple[Rewriting, ...]
    rounds: int
    profile: Profile
    sampling: Sampling
    seed: int
    judge: str | None = None
    equality: Prompt | None = None
    system: str | None = None
    retries: int = 0
    without: tuple[str, ...] = ()

    async def try_out(self, models: StageModels) -> None:
        """Ask the judge, if there is one, what is known.

        Raises:
            InputError: it cannot be relied on.
        """
        if self.judge and self.equality:
            most = self.sampling.max_tokens
            await try_judge(models.chat(self.judge), self.equality, max_tokens=most, seed=self.seed)

    def notes(self, row: Record) -> Iterator[str]:
        """What there is to say of a row."""
        yield from notes_of(row)
        if self.sampling.top_logprobs and row.round and row.status != "failed" and row.scores[POSITIONS] is None:
            yield NO_LOGPROBS

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to evolve one seed at a time."""
        evolver, judge = models.chat(self.evolver), models.chat(self.judge) if self.judge else None

        async def evolve(seeds: Sequence[Record]) -> list[list[Record]]:
            return [await trajectory(seed, self, evolver, judge) for seed in seeds]

        yield evolve


async def trajectory(seed: Record, how: Evolution, evolver: ChatModel, judge: ChatModel | None = None) -> list[Record]:
    """Evolve one seed through all rounds.

    An evolution that is eliminated or failed stays in the trajectory with its reason; its parent goes on.

    Returns:
        The seed (round 0) and one record for each round.
    """
    records, parent = [seed], seed
    for round in range(1, how.rounds + 1):
        rewriting = how.rewritings[(seed.seed_index + round - 1) % len(how.rewritings)]
        for draw in range(how.retries + 1):
            evolved = await evolve_once(seed, parent, round, rewriting, how, evolver, judge, draw)
            if evolved.status != "eliminated":
                break
            if draw < how.retries:
                note_redrawn(evolver, evolved.id)
        records.append(evolved)
        if evolved.status == "ok":
            parent = evolved
    return records


async def evolve_once(
    seed: Record,
    parent: Record,
    round: int,
    rewriting: Rewriting,
    how: Evolution,
    evolver: ChatModel,
    judge: ChatModel | None,
    draw: int = 0,
) -> Record:
    """Evolve one instruction, and judge the result; each ``draw`` of it is another one."""
    record = Record(
        id=f"{seed.seed_id}/r{round}",
        seed_id=seed.seed_id,
        seed_index=seed.seed_index,
        parent_id=parent.id,
        round=round,
        method=rewriting.method,
        operator=rewriting.operator,
        prompt_version=rewriting.version,
        evolver=evolver.uri,
        instruction="",
        input=rewriting.input_after(parent, how.profile),
        meta=seed.meta,
    )
    stage = stage_of(draw)
    asked = rewriting.turns(parent, how.profile, call_seed(how.seed, record.id, f"{stage}/turns"))
    if how.system:
        asked = [Message(role="system", content=how.system), *(turn for turn in asked if turn["role"] != "system")]
    sampling = replace(
        how.sampling,
        max_tokens=min(how.sampling.max_tokens, rewriting.reply_tokens or how.sampling.max_tokens),
        temperature=min(
            how.sampling.temperature, how.sampling.temperature if rewriting.hottest is None else rewriting.hottest
        ),
        stop=rewriting.stop,
    )
    try:
        reply = await ask(
            evolver,
            asked,
            sampling,
            run_seed=how.seed,
            record_id=record.id,
            stage=stage,
            usable=lambda reply: why_unusable(reply) is None and rewriting.read(reply, parent, how.profile) is not None,
            # Paper 1's code takes the first generation, whatever it is; the default tries again with another seed.
            attempts=1 if how.profile == "paper" else ATTEMPTS,
        )
        text = rewriting.read(reply, parent, how.profile)
        _take_instruction(record, parent, reply.text if text is None else text, reply)
        record.meta = rewriting.meta(seed, reply)
        reason = _why_eliminated(parent, text, reply, asked, rewriting, how)
        if reason is None and judge is not None and how.equality is not None:
            reason, record.reason = await _no_gain(parent, record, judge, how.equality, how)
    except CallError as error:
        record.status, record.reason = "failed", str(error)
        return record
    if reason:
        record.status, record.reason = "eliminated", reason
    if sampling.top_logprobs:
        record.scores = output_breadth(reply.logprobs)
    return record


def stage_of(draw: int) -> str:
    """What the calls of a draw are for: each draw has seeds of its own."""
    return f"{STAGE}/{draw}" if draw else STAGE


def _take_instruction(record: Record, parent: Record, text: str, reply: Reply) -> None:
    """Put the evolved instruction into the record; a conversation's system turn stays with it."""
    system = [turn for turn in parent.messages or () if turn["role"] == "system"]
    record.instruction, record.finish_reason = text, reply.finish_reason
    record.messages = [*system, Message(role="user", content=text)] if system and text else None


def _why_eliminated(
    parent: Record, text: str | None, reply: Reply, asked: Sequence[Message], rewriting: Rewriting, how: Evolution
) -> str | None:
    """Why an evolution fails without asking anybody; a reply that was cut or empty is that, and not unparsed."""
    if text is None:
        return (None if how.profile == "paper" else why_cut(reply)) or UNPARSED
    if how.profile == "paper":
        return None
    own = rewriting.own(text, parent)
    return eliminate(
        parent, text, reply, asked, own=own, scaffold=rewriting.scaffold, breadth=rewriting.breadth, without=how.without
    )


async def _no_gain(
    parent: Record, record: Record, judge: ChatModel, equality: Prompt, how: Evolution
) -> tuple[str | None, str | None]:
    """R1: the elimination reason if the judge finds the two equal; a note if it gives no verdict (the record stays).

    The judge's reply may be as long as the evolver's.
    """
    first, second, most = parent.question, record.question, how.sampling.max_tokens
    verdict = await finds_equal(judge, equality, first, second, max_tokens=most, seed=how.seed, record_id=record.id)
    if verdict is None:
        return None, NO_VERDICT
    return ("equal" if verdict else None), None
