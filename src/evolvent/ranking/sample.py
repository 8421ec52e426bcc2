"""The sample that all candidates work on, and the plan: both are written before the first call."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.write import write
from evolvent.errors import InputError
from evolvent.files import MANIFEST, make_folder, replacing
from evolvent.options.fields import short
from evolvent.parse_errors import json_error
from evolvent.ranking.candidates import PLAN
from evolvent.records import Record
from evolvent.runs.inputs import StageInput
from evolvent.storage_errors import explained


def sampled(source: StageInput, size: int, seed: int) -> list[Record]:
    """So many records of an input, drawn without replacement, in their order; all of them if there are no more.

    Raises:
        InputError: the data has no record.
    """
    if not source.rows:
        raise InputError(f"{source.about['source']} has no record to take", fix="Give data that has some.")
    drawn = set(random.Random(seed).sample(range(source.rows), min(size, source.rows)))
    return [record for place, record in enumerate(source) if place in drawn]


def common(answers: Mapping[str, StageInput], size: int, seed: int) -> dict[str, list[Record]]:
    """Of several files that answer instructions: so many that all of them answer, each file's rows in one order.

    Where a file answers an instruction twice the first answer is taken.

    Raises:
        InputError: there is no instruction that all of them answer.
    """
    places = {name: _first_places(source) for name, source in answers.items()}
    questions = [one for one in next(iter(places.values())) if all(one in of for of in places.values())]
    if not questions:
        raise InputError(
            f"there is no instruction that all of {', '.join(answers)} answer",
            fix="Instructions are matched by their text and their input; for data of different instructions: evolvent "
            "rank data.",
        )
    drawn = sorted(random.Random(seed).sample(range(len(questions)), min(size, len(questions))))
    return {name: _at(source, [places[name][questions[place]] for place in drawn]) for name, source in answers.items()}


def _first_places(records: Iterable[Record]) -> dict[bytes, int]:
    """Where each question comes first, by a hash of it: the rows themselves are not held."""
    found: dict[bytes, int] = {}
    for place, record in enumerate(records):
        found.setdefault(hashlib.sha256(record.question.encode("utf-8", "surrogatepass")).digest(), place)
    return found


def _at(records: Iterable[Record], places: Sequence[int]) -> list[Record]:
    """The records at some places, in the order of these."""
    wanted = set(places)
    found = {place: record for place, record in enumerate(records) if place in wanted}
    return [found[place] for place in places]


def write_sample(records: Sequence[Record], path: Path) -> Path:
    """Write a sample to a file, unless the very same one is there: stages know their input by it."""
    make_folder(path.parent)
    new = path.with_name(f".new-{path.name}")
    write(records, new)
    if path.is_file() and path.read_bytes() == new.read_bytes():
        new.unlink()
    else:
        new.replace(path)
    return path


def write_plan(folder: Path, plan: Mapping[str, Any], *, fresh: bool) -> None:
    """Write what is to be compared, and how it will be decided, before anything is called.

    Raises:
        InputError: the folder has another plan: what it holds was planned otherwise.
    """
    if (folder / MANIFEST).is_file():
        raise InputError(f"{folder} is a run folder", fix="Rank into another one: its candidates have folders in it.")
    path, written = folder / PLAN, orjson.dumps(plan, option=orjson.OPT_INDENT_2)
    plan = orjson.loads(written)
    if path.is_file() and not fresh:
        before = read_plan(path)
        if before == plan:
            return
        raise InputError(
            f"{path} plans another ranking:\n  " + "\n  ".join(_differences(before, plan)),
            fix="Take another --out, or plan anew with --fresh: calls and losses that are stored are used.",
        )
    with replacing(path) as file:
        file.write(written)


def read_plan(path: Path) -> dict[str, Any]:
    """A plan as it was written.

    Raises:
        InputError: it cannot be read.
    """
    with explained(path, "read"):
        content = path.read_bytes()
    try:
        plan = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {json_error(error)}", fix="Restore it, or rank with --fresh.") from error
    if not isinstance(plan, dict):
        raise InputError(f"{path} is no plan of a ranking", fix="Restore it, or rank with --fresh.")
    return plan


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """How two plans differ, one line each."""
    for key in sorted(one for one in {*before, *now} if before.get(one) != now.get(one)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{within}{key}.")
        elif within == "input." and old and new:  # digests
            yield f"{within}{key}: other content than it had"
        else:
            yield f"{within}{key}: {short(old)} in the folder, {short(new)} now"
