"""What benchmarks.engine measures: evolvent, its peers and the bare loop, as commands whose rows can be counted."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import python_of

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class System:
    """One tool.

    Args:
        name: for ``--only``.
        label: in the table.
        script: under ``peers/``; "" is evolvent itself.
        environment: the virtual environment that runs it; "" is this one.
        in_flight: calls at once at latency 0: what suited it best in earlier trials; for evolvent 200, not tuned.
        large: whether it is also measured at the large number of rows.
    """

    name: str
    label: str
    script: str
    environment: str
    in_flight: int
    large: bool = False

    def command(self, seeds: Path, base_url: str, out: Path, in_flight: int, cache: Path) -> list[str | Path]:
        """The command line that evolves each seed once."""
        if not self.script:
            model = f"openai:mock?base_url={base_url}"
            return [
                *(sys.executable, "-m", "evolvent", "evolve", seeds, "--model", model, "--out", out),
                *("--rounds", "1", "--operators", "constraints", "--max-tokens", "512", "--concurrency"),
                str(in_flight),
            ]
        python = python_of(self.environment, cache)
        return [python, PEERS / self.script, seeds, base_url, out, str(in_flight)]


EVOLVENT = System("evolvent", "**evolvent**", "", "", 200, large=True)
SYSTEMS = (
    EVOLVENT,
    System("bare", "bare asyncio + aiohttp loop", "bare_loop.py", "loop", 50, large=True),
    System("datatrove", "datatrove InferenceRunner", "datatrove_evolution.py", "datatrove", 500),
    System("curator", "bespokelabs-curator", "curator_evolution.py", "curator", 500),
    System("data-designer", "NVIDIA DataDesigner", "data_designer_evolution.py", "data-designer", 50),
    System("distilabel", "distilabel EvolInstruct", "distilabel_evolution.py", "distilabel", 500),
)


@dataclass(frozen=True)
class Rows:
    """What a tool's output holds.

    Args:
        good: rows with an evolved instruction.
        other: rows without one, by what the tool says of them.
    """

    good: int
    other: Counter[str]

    @property
    def answered(self) -> int:
        """Rows that came out, those included whose reply our own rules turned down (another server's may be)."""
        return self.good + sum(count for what, count in self.other.items() if what.startswith("eliminated"))


def rows_of(system: System, out: Path) -> Rows:
    """Count a finished output; none if the tool wrote no output."""
    return _evolved_rows(out / "evolved.parquet") if not system.script else _peer_rows(out / "rows.jsonl")


def _evolved_rows(path: Path) -> Rows:
    if not path.exists():
        return Rows(0, Counter())
    from pyarrow import compute, parquet

    table = parquet.read_table(path, columns=["round", "status", "reason"])
    groups = (
        table.filter(compute.equal(table["round"], 1)).group_by(["status", "reason"]).aggregate([([], "count_all")])
    )
    counts = {(row["status"], row["reason"]): row["count_all"] for row in groups.to_pylist()}
    other = Counter({f"{status}: {reason}": count for (status, reason), count in counts.items() if status != "ok"})
    return Rows(sum(count for (status, _), count in counts.items() if status == "ok"), other)


def _peer_rows(path: Path) -> Rows:
    if not path.exists():
        return Rows(0, Counter())
    with path.open() as lines:
        evolved = [json.loads(line)["evolved"] for line in lines]
    other = Counter("null" if text is None else "empty" for text in evolved if not text)
    return Rows(sum(bool(text) for text in evolved), other)
