"""What the peers' scripts share: their arguments, the seeds, one evolution prompt, and the rows they write.

Every script is run as ``python SCRIPT SEEDS.jsonl BASE_URL OUT CONCURRENCY`` by the peer's own Python, and writes
OUT/rows.jsonl with one {"instruction", "evolved"} a row once the peer says that it is done.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MODEL = "mock"
MAX_TOKENS = 512
BEFORE = (
    "You make instructions harder. Rewrite the instruction below so that it is more demanding for a language model, "
    "but can still be understood and answered by people. Keep whatever code, tables and input it holds. Do so by "
    "adding one constraint or requirement. Add no more than 20 words, and reply with the new instruction alone.\n\n"
    "### Instruction\n"
)
AFTER = "\n\n### New instruction\n"


@dataclass(frozen=True)
class Arguments:
    """A script's command line."""

    path: Path
    seeds: list[str]
    base_url: str
    out: Path
    concurrency: int


def arguments() -> Arguments:
    """Read the command line and the seeds; make the output folder."""
    seeds, base_url, out, concurrency = sys.argv[1:]
    path, folder = Path(seeds).resolve(), Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with path.open() as lines:
        return Arguments(path, [json.loads(line)["instruction"] for line in lines], base_url, folder, int(concurrency))


def prompt(instruction: str) -> str:
    """The evolution prompt for peers that bring none of their own."""
    return f"{BEFORE}{instruction}{AFTER}"


def write_rows(out: Path, rows: Iterable[tuple[str, str | None]]) -> None:
    """Write OUT/rows.jsonl in one step."""
    partial = out / "rows.jsonl.partial"
    with partial.open("w") as file:
        for instruction, evolved in rows:
            file.write(json.dumps({"instruction": instruction, "evolved": evolved}) + "\n")
    partial.rename(out / "rows.jsonl")
