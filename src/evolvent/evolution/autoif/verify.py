"""``evolvent verify``: how well any dataset's answers follow the verified instructions of a functions.jsonl.

A row is matched with a verified instruction by the first of these that finds one:

1. ``meta``: its ``autoif`` metadata names the instruction, word for word;
2. ``id``: the id of its seed is the instruction's;
3. ``text``: its question holds the instruction's text, as whole words, whatever the letter case, the blanks, the
   final period and the Unicode normal form (NFC or NFD). Of several instructions the longest counts.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from evolvent.concurrency import run_sync, together
from evolvent.errors import InputError, RunError
from evolvent.evolution.autoif.answers import NO_VERDICT, Accuracy, accuracies
from evolvent.evolution.autoif.functions_file import FUNCTIONS, VerifiedInstruction, codes, read_functions
from evolvent.evolution.autoif.options import VERIFY, Verify
from evolvent.evolution.autoif.rules import MAJORITY
from evolvent.files import output_path, replacing
from evolvent.options import Reading, implements
from evolvent.records import Record
from evolvent.runs.inputs import Data, Wanted, stage_input
from evolvent.runs.progress import shown
from evolvent.sandbox.sandbox import Sandbox

# Rows that are read before their answers are evaluated, each instruction's at once: a sandbox process takes longer to
# start than to check a hundred answers, and rows of many instructions may stand in any order. They are in memory at
# once, so fewer where they are long: so many characters of answers.
WINDOW, WINDOW_TEXT = 16_384, 1 << 26


@dataclass(slots=True)
class VerifyCounts:
    """What ``verify`` counted.

    Attributes:
        rows: how many rows were looked at.
        matched: how many of them were matched with an instruction, by how (``meta``, ``id``, ``text``).
        unmatched: rows that hold no instruction of the file.
        empty: rows without an answer; they are matched with nothing.
        no_verdict: matched rows whose functions gave no verdict at all, by the most frequent kind of reason.
        majority: matched rows of which more than half of the functions with a verdict say that they follow.
        strict: matched rows of which every function says so.
        accuracy_sum: the sum of the accuracies of the matched rows that have one.
        left_out: rows that were not looked at, and why (a run's rows that are not ok, bad rows).
        out: the file with a line a row, if one was asked for.
    """

    rows: int = 0
    matched: Counter[str] = field(default_factory=Counter)
    unmatched: int = 0
    empty: int = 0
    no_verdict: Counter[str] = field(default_factory=Counter)
    majority: int = 0
    strict: int = 0
    accuracy_sum: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)
    out: Path | None = None

    @property
    def mean_accuracy(self) -> float | None:
        """The mean accuracy of the matched rows with a verdict, in [0, 1]; None if there are none."""
        with_verdict = self.matched.total() - self.no_verdict.total()
        return self.accuracy_sum / with_verdict if with_verdict else None


class Match(NamedTuple):
    """The instruction that a row was matched with, and by what: ``meta``, ``id`` or ``text``."""

    instruction: VerifiedInstruction
    by: str


@implements(VERIFY)
def verify(data: Data, given: Verify, reading: Reading) -> VerifyCounts:
    """Verify answers with the functions of an AutoIF run.

    Of a run folder the responses with status ok are looked at, of a data file every row; of a conversation the first
    question and its answer.

    Returns:
        The counts, and the file's path.

    Raises:
        InputError: unreadable data or functions, a file that cannot be written, or no sandbox on this machine.
        RunError: the disk is full; or no answer has a verdict, or is matched at all: then no file is written.
    """
    path = given.functions
    target = None if given.out is None else output_path(given.out, data, path, path / FUNCTIONS)
    instructions = read_functions(path / FUNCTIONS if path.is_dir() else path)
    if not instructions:
        raise InputError(f"{path} holds no verified instruction")
    source = stage_input(
        data,
        before="respond",
        wanted=Wanted(),
        format=reading.format,
        map=reading.map,
        skip_bad=reading.skip_bad,
        limit=reading.limit,
    )

    async def run(file: IO[bytes] | None) -> VerifyCounts:
        counted = VerifyCounts(left_out=source.counts, out=target)
        async with Sandbox(unsafe=given.unsafe_execution) as sandbox:
            with shown("verify", source.rows, show=given.progress) as advance:
                async for row in _rows(iter(source), Matching(instructions), sandbox, counted):
                    if file is not None:
                        file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                    advance()
        source.unchanged()
        if counted.matched.total() == counted.no_verdict.total():
            raise _no_verdict(counted)
        return counted

    if target is None:
        return run_sync(run(None))
    with replacing(target) as file:
        return run_sync(run(file))


def reward(instruction: VerifiedInstruction, answer: str, *, unsafe_execution: bool = False) -> float:
    """The reward of an answer: the share of an instruction's functions that say it follows.

    Args:
        instruction: an instruction with its functions, as ``read_functions`` reads them.
        answer: the answer.
        unsafe_execution: run the functions without the sandbox's walls where these cannot be had.

    Returns:
        The share in [0, 1] of the functions that gave a verdict; 0 if none gave one.

    Raises:
        InputError: no sandbox on this machine.
    """
    return rewards(instruction, [answer], unsafe_execution=unsafe_execution)[0]


def rewards(instruction: VerifiedInstruction, answers: Sequence[str], *, unsafe_execution: bool = False) -> list[float]:
    """The rewards of several answers to one instruction, in one sandbox: much faster than one by one."""

    async def run() -> list[Accuracy]:
        async with Sandbox(unsafe=unsafe_execution) as sandbox:
            return await accuracies(sandbox, codes(instruction), answers)

    return [accuracy.share or 0.0 for accuracy in run_sync(run())]


class Matching:
    """Finds the verified instruction that a row's answer has to follow.

    Args:
        instructions: the verified instructions by id.
    """

    def __init__(self, instructions: Mapping[str, VerifiedInstruction]) -> None:
        self._by_id = instructions
        self._by_instruction = {_composed(one["instruction"]): one for one in instructions.values()}
        texts = {_plain(one["instruction"]): one for one in instructions.values()}
        self._texts = sorted(((text, one) for text, one in texts.items() if text), key=lambda pair: -len(pair[0]))

    def match(self, record: Record) -> Match | None:
        """The instruction of a row, or None if it holds none of them."""
        for autoif, seed_id in _noted(record):
            if (found := self._by_instruction.get(_composed(autoif))) is not None:
                return Match(found, "meta")
            if (found := self._by_id.get(seed_id)) is not None:
                return Match(found, "id")
        question = _plain(record.question)
        for text, one in self._texts:
            if text in question and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", question):
                return Match(one, "text")
        return None


async def _rows(
    records: Iterator[Record], matching: Matching, sandbox: Sandbox, counted: VerifyCounts
) -> AsyncIterator[dict[str, Any]]:
    """A row of the result for each record, in order; counted as it goes."""
    position = 0
    for window in _windows(records):
        matches = [matching.match(record) if record.output.strip() else None for record in window]
        found = await _evaluate([(m.instruction, r.output) for m, r in zip(matches, window, strict=True) if m], sandbox)
        of = iter(found)
        for record, match in zip(window, matches, strict=True):
            position += 1
            yield _row(position, record, match, next(of) if match else None, counted)


def _windows(records: Iterator[Record]) -> Iterator[list[Record]]:
    window: list[Record] = []
    text = 0
    for record in records:
        window.append(record)
        text += len(record.output)
        if len(window) == WINDOW or text >= WINDOW_TEXT:
            yield window
            window, text = [], 0
    if window:
        yield window


async def _evaluate(pairs: Sequence[tuple[VerifiedInstruction, str]], sandbox: Sandbox) -> list[Accuracy]:
    """The accuracy of each answer to its instruction; an instruction's answers are evaluated at once."""
    answers: dict[str, list[str]] = defaultdict(list)
    asked: dict[str, VerifiedInstruction] = {}
    for one, answer in pairs:
        asked[one["id"]] = one
        answers[one["id"]].append(answer)
    found = await together(accuracies(sandbox, codes(asked[id]), of) for id, of in answers.items())
    each = {id: iter(accuracy) for id, accuracy in zip(answers, found, strict=True)}
    return [next(each[one["id"]]) for one, _ in pairs]


def _row(
    position: int, record: Record, match: Match | None, accuracy: Accuracy | None, counted: VerifyCounts
) -> dict[str, Any]:
    """The result of one record, counted."""
    counted.rows += 1
    row: dict[str, Any] = {"row": position, "id": record.id, "instruction_id": None, "matched_by": None}
    row |= {"functions": 0, "verdicts": 0, "accuracy": None, "problem": None, "why": None}
    if match is None or accuracy is None:
        if record.output.strip():
            counted.unmatched += 1
            row["problem"] = "unmatched"
        else:
            counted.empty += 1
            row["problem"] = "empty"
        return row
    counted.matched[match.by] += 1
    functions = len(match.instruction["functions"])
    row |= {"instruction_id": match.instruction["id"], "matched_by": match.by, "functions": functions}
    row |= {"verdicts": accuracy.verdicts, "accuracy": accuracy.share}
    if accuracy.share is None:
        why = accuracy.why_none or ""
        counted.no_verdict[why] += 1
        row |= {"problem": NO_VERDICT, "why": why}
        return row
    counted.accuracy_sum += accuracy.share
    counted.majority += MAJORITY.passes(accuracy.share)
    counted.strict += accuracy.share == 1 and accuracy.verdicts == functions
    return row


def _no_verdict(counted: VerifyCounts) -> RunError:
    if not counted.matched:
        return RunError(
            f"no row was matched with an instruction of the file: {counted.unmatched:,} hold none of its instructions, "
            f"{counted.empty:,} have no answer",
            fix="Nothing was written. How a row is matched is in docs/methods/autoif.md.",
        )
    [(why, count)] = counted.no_verdict.most_common(1)
    return RunError(
        f"no answer has a verdict, of {counted.matched.total():,} that were matched with an instruction; "
        f"most frequent: {why} ({count:,})",
        fix="Nothing was written. See what the functions do with such answers; what each reason means is in "
        "docs/sandbox.md.",
    )


def _noted(record: Record) -> Iterator[tuple[str, str]]:
    """The instruction and the seed id that a row names: as a run's row, and as a row of a file written from one."""
    meta = orjson.loads(record.meta) if record.meta else {}
    written = meta.get("meta") if isinstance(meta, dict) else None
    for place, seed_id in ((meta, record.seed_id), (written, None)):
        if isinstance(place, dict):
            autoif = place.get("autoif")
            instruction = autoif.get("instruction") if isinstance(autoif, dict) else None
            yield str(instruction), str(seed_id or place.get("seed_id"))


def _composed(text: str) -> str:
    """A text in one normal form. Not a compatible one (NFKC): an instruction on "²" is none on "2"."""
    return unicodedata.normalize("NFC", text)


def _plain(text: str) -> str:
    """A text as it is looked for in another: composed, casefolded, blanks made one, without the final period."""
    folded = _composed(unicodedata.normalize("NFD", text).casefold())
    return " ".join(folded.split()).removesuffix(".")
