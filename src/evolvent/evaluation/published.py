"""The figures that paper 1 published (arXiv 2412.11231, tables 1 to 4 and 9), in ``published.tsv``."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "published.tsv"


@dataclass(frozen=True, slots=True)
class Published:
    """A published row.

    Attributes:
        table: its table.
        base: the base model.
        data: the method that its data were evolved by, and the evolver.
        figures: by task and figure (``ifeval: prompt strict``), or by task where it has one, in per cent.
    """

    table: str
    base: str
    data: str
    figures: Mapping[str, float]


def published() -> list[Published]:
    """Every row."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return [
            Published(
                row.pop("table"),
                row.pop("base"),
                row.pop("data"),
                {name: float(value) for name, value in row.items() if value},
            )
            for row in csv.DictReader(lines, delimiter="\t")
        ]
