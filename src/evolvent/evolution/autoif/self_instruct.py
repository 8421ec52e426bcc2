"""AutoIF, step 1: seed instructions and the new ones that a model writes after their example, each once."""

import random
import re
import unicodedata
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

from evolvent.call_store.ask import ask
from evolvent.call_store.key import call_seed
from evolvent.errors import CallError
from evolvent.evolution.autoif.demonstrated import END_OF_LIST, of_self_instruct
from evolvent.evolution.autoif.rules import METHOD
from evolvent.evolution.autoif.settings import AutoIF
from evolvent.models.protocols import ChatModel, StageModels
from evolvent.records import CUT, Record, content_digest, conversation
from evolvent.runs.inputs import StageInput, Wanted, record_file
from evolvent.runs.made_of_inputs import Derived
from evolvent.runs.record_files import read_records
from evolvent.runs.stage import Make
from evolvent.stages import file_of

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
    """New instructions asked for: the work of the stage.

    Attributes:
        how: what they are asked for with.
        examples: the seed instructions that prompts may show.
    """

    how: AutoIF
    examples: tuple[str, ...]

    @asynccontextmanager
    async def open(self, models: StageModels) -> AsyncIterator[Make]:
        """Make it ready to write."""
        model = models.chat(self.how.model)

        async def write(records: Sequence[Record]) -> list[list[Record]]:
            return [await instructions_of(record, self.how, model, self.examples) for record in records]

        yield write


def examples_of(seeds: StageInput, seed: int) -> tuple[str, ...]:
    """The seed instructions that prompts may show: all of them, or ``MOST_EXAMPLES`` drawn from more."""
    if seeds.rows <= MOST_EXAMPLES:
        return tuple(record.instruction for record in seeds)
    drawn = set(random.Random(call_seed(seed, STAGE, "examples")).sample(range(seeds.rows), MOST_EXAMPLES))
    return tuple(record.instruction for number, record in enumerate(seeds) if number in drawn)


def seeds_and_prompts(seeds: StageInput, prompts: int) -> StageInput:
    """The stage's input: the seed instructions, then one empty record for each time that new ones are asked for."""
    return Derived(seeds, partial(_seeds_and_prompts, prompts), seeds.rows + prompts, seeds.counts)


def _seeds_and_prompts(prompts: int, seeds: StageInput, start: int, before: int) -> Iterator[tuple[int, Record]]:
    end = seeds.rows + sum(seeds.counts.get(name, 0) for name in ("skipped rows", "rows left out"))
    if start < end:
        yield from seeds.records(start, before)
    for number in range(max(0, start - end), prompts):
        id = f"{STAGE}/{number}"
        yield end + number, Record(id, id, seeds.rows + number, "")


async def instructions_of(record: Record, how: AutoIF, model: ChatModel, examples: Sequence[str]) -> list[Record]:
    """A seed instruction as it is; for a record without one, the instructions of one reply."""
    if record.instruction:
        return [record]
    prompt, demonstrations = how.prompts["self_instruct"], how.demonstrations
    version = demonstrations.version if demonstrations else prompt.version
    made = replace(record, method=METHOD, operator=STAGE, prompt_version=version, evolver=model.uri, status="ok")
    drawn, sampling = call_seed(how.seed, record.id, "seeds"), how.sampling
    if demonstrations:
        asked = of_self_instruct(examples, how.rules.instructions_per_prompt, drawn)
        sampling = replace(sampling, stop=END_OF_LIST)
    else:
        if len(examples) > SHOWN:
            examples = random.Random(drawn).sample(examples, SHOWN)
        lines = "\n".join(f"- {' '.join(example.split())}" for example in examples)
        asked = conversation(prompt.render(seeds=lines, count=how.rules.instructions_per_prompt))
    try:
        reply = await ask(
            model,
            asked,
            sampling,
            run_seed=how.seed,
            record_id=record.id,
            stage=STAGE,
            usable=lambda reply: bool(new_instructions(reply.text)),
        )
    except CallError as error:
        return [replace(made, status="failed", reason=str(error))]
    made.finish_reason = reply.finish_reason
    found = new_instructions(reply.text)
    if not found:
        return [replace(made, instruction=reply.text, status="eliminated", reason="no instruction in the reply")]
    rows = [replace(made, id=f"{record.id}/{number}", instruction=text) for number, text in enumerate(found)]
    if reply.finish_reason in CUT:
        rows[-1].status, rows[-1].reason = "eliminated", CUT[reply.finish_reason]
        for whole in rows[:-1]:
            whole.finish_reason = None  # the limit cut what came behind them
    return rows


def distinct(out: Path) -> StageInput:
    """The instructions of a run folder, each once: of two that say the same, the first."""
    file = record_file(out / file_of(STAGE), Wanted(), out=out)
    kept = distinct_rows(file.path)
    duplicates = file.rows - len(kept)
    counts = {"duplicate instructions": duplicates} if duplicates else {}
    return Derived(file, partial(_distinct, kept), len(kept), counts)


def _distinct(kept: Sequence[int], file: StageInput, start: int, _: int) -> Iterator[tuple[int, Record]]:
    if start >= len(kept):
        return
    place = start
    for number, record in file.records(kept[start]):
        if number == kept[place]:
            id = content_digest(record.instruction, "", "", None)
            yield place, replace(record, id=id, seed_id=id, seed_index=place, finish_reason=None)
            place += 1
            if place == len(kept):
                return


def distinct_rows(path: Path) -> Sequence[int]:
    """Where the distinct instructions of a file stand.

    Of each a hash of 8 bytes is kept meanwhile: of a million instructions, two are taken for the same once in 37
    million files.
    """
    seen: set[int] = set()
    kept = array("Q")
    for number, record in enumerate(read_records(path)):
        if record.status == "ok":
            key = int.from_bytes(blake2b(same(record.instruction).encode(), digest_size=8).digest())
            if key not in seen:
                seen.add(key)
                kept.append(number)
    return kept


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
    """The key of duplicates: case, blanks, final punctuation and the normal form (NFC, NFD) make no difference."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", instruction).casefold())
    return " ".join(folded.split()).rstrip(" .,;:!?…。！？")


def _unwrapped(text: str) -> str:
    """A text without pairs of marks around the whole of it; marks that also stand within it are its own."""
    text = text.strip()
    for opening, closing in _WRAPPED:
        within = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and opening not in within and closing not in within:
            return _unwrapped(within)
    return text
