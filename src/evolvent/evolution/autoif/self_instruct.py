"""AutoIF, step 1: seed instructions and the new ones that a model writes after their example, each once."""

import random
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from evolvent.calls.seeds import call_seed
from evolvent.calls.stored import ask
from evolvent.errors import CallError
from evolvent.evolution.autoif.rules import METHOD, Rules
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

# Seeds that the prompts of a run show among them.
MOST_EXAMPLES = 10_000

# A list's marker: "- ", "* ", "3. ", "3) ", also in bold. A rule ("---") or bold text ("**so**") has no blank after it.
_MARKED = re.compile(r"(?P<indent>[^\S\n]*)(?:[-*+•–—]|\*{0,2}\d{1,4}[.)]\*{0,2})[^\S\n]+(?P<text>\S.*)")
_WRAPPED = (("**", "**"), ('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("`", "`"), ("«", "»"))


@dataclass(frozen=True, slots=True)
class SelfInstruct:
    """What new instructions are asked for with.

    Attributes:
        model: the model that writes them.
        examples: the seed instructions that prompts may show.
        rules: how many to ask for.
        prompt: the template.
        sampling: how replies are drawn.
        seed: the run's seed.
    """

    model: ChatModel
    examples: tuple[str, ...]
    rules: Rules
    prompt: Prompt
    sampling: Sampling
    seed: int


def examples_of(seeds: StageInput, seed: int) -> tuple[str, ...]:
    """The seed instructions that prompts may show: all of them, or ``MOST_EXAMPLES`` drawn from more."""
    if seeds.rows <= MOST_EXAMPLES:
        return tuple(record.instruction for record in seeds)
    drawn = set(random.Random(call_seed(seed, STAGE, "examples")).sample(range(seeds.rows), MOST_EXAMPLES))
    return tuple(record.instruction for number, record in enumerate(seeds) if number in drawn)


def prompts_after(seeds: StageInput, prompts: int) -> StageInput:
    """The stage's input: the seed instructions, then one empty record for each time that new ones are asked for."""
    end = seeds.rows + seeds.counts.get("skipped rows", 0)  # positions count skipped rows, too

    def records(start: int) -> Iterator[tuple[int, Record]]:
        if start < end:
            yield from seeds.records(start)
        for number in range(max(0, start - end), prompts):
            id = f"{STAGE}/{number}"
            yield end + number, Record(id, id, seeds.rows + number, "")

    return replace(seeds, rows=seeds.rows + prompts, records=records)


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
    state = describe_file(path)
    kept, rows = distinct_rows(path)

    def records(start: int) -> Iterator[tuple[int, Record]]:
        wanted = enumerate(kept[start:], start)
        position, number = next(wanted, (-1, -1))
        for place, record in enumerate(read_records(path, max(0, number)), max(0, number)):
            if number < 0:
                return
            if place == number:
                id = content_digest(record.instruction, "", "", None)
                yield position, replace(record, id=id, seed_id=id, seed_index=position, finish_reason=None)
                position, number = next(wanted, (-1, -1))

    source = {"source": str(path), "rows": rows, "digest": state["digest"]}
    counts = {"duplicate instructions": rows - len(kept)} if rows > len(kept) else {}
    return StageInput(source, len(kept), records, counts)


def distinct_rows(path: Path) -> tuple[Sequence[int], int]:
    """Where the distinct instructions of a file stand, and how many instructions there are with the others.

    Of each instruction a hash of 8 bytes is kept meanwhile: of a million, two are taken for the same once in 37 million
    files.
    """
    seen: set[int] = set()
    kept = array("Q")
    rows = 0
    for number, record in enumerate(read_records(path)):
        if record.status == "ok":
            rows += 1
            key = int.from_bytes(blake2b(same(record.instruction).encode(), digest_size=8).digest())
            if key not in seen:
                seen.add(key)
                kept.append(number)
    return kept, rows


def new_instructions(reply: str) -> list[str]:
    """The instructions in a reply: its list items, without marker and without quotes or bold around the whole.

    The prompt asks for lines that begin with "- "; other markers and numbers are read alike. Lines without a marker
    are the model's talk, and items indented deeper than the first one are notes on an item: neither is an instruction.
    So it is under every profile: that paper 1's code takes blank lines and "Here are 50…" for instructions is no
    choice of the method.
    """
    found: list[str] = []
    depth: int | None = None
    for line in reply.splitlines():
        item = _MARKED.fullmatch(line.expandtabs(4).rstrip())
        if item is None:
            continue
        depth = len(item["indent"]) if depth is None else depth
        text = _unwrapped(item["text"])
        if text and len(item["indent"]) <= depth:
            found.append(text)
    return found


def same(instruction: str) -> str:
    """The key under which two instructions are duplicates: case, blanks and final punctuation make no difference."""
    return " ".join(instruction.casefold().split()).rstrip(" .,;:!?…。！？")


def _prompt(id: str, run: SelfInstruct) -> str:
    """The prompt of one record; of many seeds it shows some, drawn for this record alone."""
    shown: Sequence[str] = run.examples
    if len(shown) > SHOWN:
        shown = random.Random(call_seed(run.seed, id, "seeds")).sample(shown, SHOWN)
    lines = "\n".join(f"- {' '.join(seed.split())}" for seed in shown)
    return run.prompt.render(seeds=lines, count=run.rules.instructions_per_prompt)


def _unwrapped(text: str) -> str:
    """A text without pairs of marks around the whole of it; marks that also stand within it are its own."""
    text = text.strip()
    for opening, closing in _WRAPPED:
        within = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and opening not in within and closing not in within:
            return _unwrapped(within)
    return text
