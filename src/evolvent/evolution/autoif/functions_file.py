"""functions.jsonl: verified instructions with the functions that check them. A verifiable-reward set, one a line."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import orjson

from evolvent.errors import InputError
from evolvent.evolution.autoif.settings import noted
from evolvent.files import replacing
from evolvent.records import Record
from evolvent.storage_errors import explained

FUNCTIONS = "functions.jsonl"


class Function(TypedDict):
    """The source of a function ``evaluate(response) -> bool``, and the share of the cases that it agreed with."""

    code: str
    share: float


class VerifiedInstruction(TypedDict):
    """A line of functions.jsonl."""

    id: str
    instruction: str
    functions: list[Function]
    cases: list[dict[str, Any]]
    back_translations: list[str]


def verified_instructions(records: Iterable[Record]) -> Iterator[VerifiedInstruction]:
    """The verified instructions among the records of an AutoIF run: what verification noted in their meta."""
    for record in records:
        if record.round == 0 and record.status == "ok" and (notes := noted(record)):
            yield VerifiedInstruction(
                id=record.seed_id,
                instruction=record.instruction,
                functions=notes["functions"],
                cases=notes["cases"],
                back_translations=notes["back_translations"],
            )


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as lines of JSON: a reader sees the old file or the new one. How many rows there were."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def read_functions(path: Path) -> dict[str, VerifiedInstruction]:
    """The verified instructions of a file, by id; all of them in memory, with their functions.

    Raises:
        InputError: there is no such file, a line of it is no verified instruction, or two are of one id; the message
            names the line.
    """
    found: dict[str, VerifiedInstruction] = {}
    with explained(path, "read"):
        if not path.is_file():
            raise InputError(
                f"there is no file {path}", fix="evolvent evolve … --method autoif writes functions.jsonl."
            )
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = _read(line, path, number)
                    if found.setdefault(row["id"], row) != row:
                        raise InputError(
                            f"{path}, line {number} has the id of an earlier line, {row['id']}, and other content",
                            fix="Keep one of them, or join their functions in one line.",
                        )
    return found


def codes(instruction: VerifiedInstruction) -> list[str]:
    """The sources of an instruction's functions."""
    return [function["code"] for function in instruction["functions"]]


def _read(line: bytes, path: Path, number: int) -> VerifiedInstruction:
    try:
        row = orjson.loads(line)
        functions = [Function(code=str(one["code"]), share=float(one.get("share", 1.0))) for one in row["functions"]]
        if not functions:
            raise ValueError("it has no functions")
        return VerifiedInstruction(
            id=str(row["id"]),
            instruction=str(row["instruction"]),
            functions=functions,
            cases=list(row.get("cases", [])),
            back_translations=list(row.get("back_translations", [])),
        )
    except (KeyError, TypeError, ValueError) as error:  # orjson's is a ValueError
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, orjson.JSONDecodeError):
            what = f"{error.msg}, at character {error.pos + 1} of it"
        raise InputError(
            f"{path}, line {number} is no verified instruction: {what}",
            fix='A line holds {"id": …, "instruction": …, "functions": [{"code": …}]}.',
        ) from error
