"""An evolving method applied: one seed, round after round (arXiv 2406.00770; in paper 1 the initial method only)."""

from dataclasses import dataclass

import orjson

from evolvent.calls.stored import FILTERED, ask
from evolvent.errors import CallError
from evolvent.evolution.auto_evol_instruct.method import Method, headings
from evolvent.evolution.auto_evol_instruct.parsing import final_instruction, methods_list, paper_instruction
from evolvent.evolution.elimination import eliminate
from evolvent.evolution.evol_instruct import Profile, chat, no_gain, take_instruction, through_rounds
from evolvent.evolution.templates import Prompt
from evolvent.models.protocols import ChatModel, Reply, Sampling
from evolvent.records import Record

METHOD = "auto-evol-instruct"

# The key in a record's meta, and what stands under it.
META = "auto_evol_instruct"
METHODS_LIST = "methods_list"

# The reply holds no text under the method's last heading; the record keeps the whole reply as its instruction.
UNPARSED = "unparsed"


@dataclass(frozen=True, slots=True)
class AutoEvol:
    """What an Auto Evol-Instruct run is made with.

    Attributes:
        evolver: the model that rewrites.
        method: the evolving method, its prompt.
        rounds: how many times each seed is evolved.
        profile: ``default`` shows the evolver the input and eliminates; ``paper`` does what paper 1's code does.
        sampling: how the evolver's replies are drawn.
        seed: the run's seed.
        judge: the model that says whether an evolution gains information, if any.
        equality: the judge's prompt.
        system: system prompt of the evolver, if any.
    """

    evolver: ChatModel
    method: Method
    rounds: int
    profile: Profile
    sampling: Sampling
    seed: int
    judge: ChatModel | None = None
    equality: Prompt | None = None
    system: str | None = None


async def trajectory(seed: Record, run: AutoEvol) -> list[Record]:
    """Evolve one seed through all rounds with the evolving method.

    An evolution that is eliminated or failed stays in the trajectory with its reason; its parent goes on.

    Returns:
        The seed (round 0) and one record for each round.
    """
    return await through_rounds(seed, run.rounds, lambda parent, round: _evolve_once(seed, parent, round, run))


async def _evolve_once(seed: Record, parent: Record, round: int, run: AutoEvol) -> Record:
    """Evolve one instruction with the method, and judge the result."""
    record = Record(
        id=f"{seed.seed_id}/r{round}",
        seed_id=seed.seed_id,
        seed_index=seed.seed_index,
        parent_id=parent.id,
        round=round,
        method=METHOD,
        prompt_version=run.method.version,
        evolver=run.evolver.uri,
        instruction="",
        input=parent.input,
        meta=seed.meta,
    )
    try:
        reply = await ask(
            run.evolver,
            chat(run.method.render(parent, show_input=run.profile == "default"), run.system),
            run.sampling,
            run_seed=run.seed,
            record_id=record.id,
            stage="evolve",
            usable=lambda reply: reply.finish_reason != FILTERED and _parsed(reply, parent, run) is not None,
            # Paper 1's code drops what it cannot parse; the default tries again with another seed.
            attempts=3 if run.profile == "default" else 1,
        )
        text = _parsed(reply, parent, run)
        take_instruction(record, parent, reply.text if text is None else text, reply)
        record.meta = _with_list(seed.meta, methods_list(reply.text, run.method))
        reason = _why_eliminated(parent.instruction, text, reply, run)
        if reason is None and run.judge is not None:
            reason, record.reason = await no_gain(parent, record, run.judge, run.equality, run.sampling, run.seed)
    except CallError as error:
        record.status, record.reason = "failed", str(error)
        return record
    if reason:
        record.status, record.reason = "eliminated", reason
    return record


def scaffold(method: Method) -> frozenset[str]:
    """What must not leak from a method into an instruction, casefolded: its headings between hashes, the slot's too."""
    marked = {f"#{heading}#".casefold() for heading in headings(method.text)}
    return frozenset({"rewritten instruction", "#instruction#", "#input#", *marked})


def _parsed(reply: Reply, parent: Record, run: AutoEvol) -> str | None:
    if run.profile == "paper":
        return paper_instruction(reply.text, run.method)
    return final_instruction(reply.text, run.method, parent.instruction)


def _why_eliminated(parent: str, text: str | None, reply: Reply, run: AutoEvol) -> str | None:
    """Why an evolution fails without asking anybody; a reply that was cut or empty is that, and not unparsed."""
    if run.profile == "paper":
        return UNPARSED if text is None else None
    reason = eliminate(parent, reply.text.strip() if text is None else text, reply, scaffold(run.method))
    if text is None and reason not in ("filtered", "truncated", "refused", "empty"):
        return UNPARSED
    return reason


def _with_list(meta: str | None, methods: str | None) -> str | None:
    """The seed's meta, and in it the list of ways that a reply holds: never one that the seed brought along."""
    if methods is None and META not in (meta or ""):
        return meta
    columns = orjson.loads(meta or "{}")
    columns.pop(META, None)
    if methods is not None:
        columns[META] = {METHODS_LIST: methods}
    return orjson.dumps(columns).decode() if columns else None
