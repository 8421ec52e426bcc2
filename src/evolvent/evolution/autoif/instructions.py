"""Step 1: seed instructions and the new ones that a model writes after their example, each once."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from evolvent.calls.ask import ask
from evolvent.calls.seeds import call_seed
from evolvent.errors import CallError
from evolvent.evolution.autoif.rules import METHOD, Rules
from evolvent.evolution.autoif.self_instruct import new_instructions, same
from evolvent.evolution.evol_instruct import chat
from evolvent.evolution.templates import Prompt
from evolvent.files import describe_file
from evolvent.models.protocols import ChatModel, Sampling
from evolvent.records import Record, content_digest
from evolvent.runs.inputs import StageInput
from evolvent.runs.record_files import read_records

STAGE = "self-instruct"

# Seeds that a prompt shows: as many as AutoIF has. Of more, each prompt shows others.
SHOWN = 36


@dataclass(frozen=True, slots=True)
class SelfInstruct:
    """What new instructions are asked for with.

    Attributes:
        model: the model that writes them.
        seeds: the seed instructions.
        rules: how many to ask for.
        prompt: the template.
        sampling: how replies are drawn.
        seed: the run's seed.
    """

    model: ChatModel
    seeds: tuple[str, ...]
    rules: Rules
    prompt: Prompt
    sampling: Sampling
    seed: int


def prompts_after(seeds: StageInput, prompts: int) -> StageInput:
    """The stage's input: the seed instructions, then one empty record for each time that new ones are asked for."""
    first = list(seeds)
    asked = [Record(id := f"{STAGE}/{number}", id, len(first) + number, "") for number in range(prompts)]
    return _listed([*first, *asked], seeds)


async def instructions_of(record: Record, run: SelfInstruct) -> list[Record]:
    """A seed instruction as it is; for a record without one, the instructions of one reply."""
    if record.instruction:
        return [record]
    made = replace(
        record, method=METHOD, operator=STAGE, prompt_version=run.prompt.version, evolver=run.model.uri, status="ok"
    )
    try:
        reply = await ask(
            run.model,
            chat(_prompt(record.id, run), None),
            run.sampling,
            run_seed=run.seed,
            record_id=record.id,
            stage=STAGE,
            usable=lambda reply: bool(new_instructions(reply.text)),
        )
    except CallError as error:
        return [replace(made, status="failed", reason=str(error))]
    made.finish_reason = reply.finish_reason
    lines = new_instructions(reply.text)
    if not lines:
        return [replace(made, instruction=reply.text, status="eliminated", reason="no instruction in the reply")]
    rows = [replace(made, id=f"{record.id}/{number}", instruction=line) for number, line in enumerate(lines)]
    if reply.finish_reason == "length":
        rows[-1].status, rows[-1].reason = "eliminated", "cut at the token limit"
        for whole in rows[:-1]:
            whole.finish_reason = None  # the limit cut what came behind them
    return rows


def distinct(path: Path) -> StageInput:
    """The instructions of a finished file, each once: of two that say the same, the first."""
    seen: set[str] = set()
    kept: list[Record] = []
    rows = 0
    for record in read_records(path):
        if record.status != "ok":
            continue
        rows += 1
        if same(record.instruction) not in seen:
            seen.add(same(record.instruction))
            id = content_digest(record.instruction, "", "", None)
            kept.append(replace(record, id=id, seed_id=id, seed_index=len(kept), finish_reason=None))
    source = {"source": str(path), "rows": rows, "digest": describe_file(path)["digest"]}
    counts = {"duplicate instructions": rows - len(kept)} if rows > len(kept) else {}
    return StageInput(source, len(kept), lambda start: _from(kept, start), counts)


def _prompt(id: str, run: SelfInstruct) -> str:
    """The prompt of one record; of many seeds it shows some, drawn for this record alone."""
    shown = list(run.seeds)
    if len(shown) > SHOWN:
        shown = random.Random(call_seed(run.seed, id, "seeds")).sample(shown, SHOWN)
    lines = "\n".join(f"- {' '.join(seed.split())}" for seed in shown)
    return run.prompt.render(seeds=lines, count=run.rules.instructions_per_prompt)


def _listed(records: list[Record], source: StageInput) -> StageInput:
    """Records in memory as a stage's input that came from another."""
    return replace(source, rows=len(records), records=lambda start: _from(records, start))


def _from(records: list[Record], start: int) -> Iterator[tuple[int, Record]]:
    return ((position, records[position]) for position in range(start, len(records)))
