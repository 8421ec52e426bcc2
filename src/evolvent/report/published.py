"""Figures beside those that paper 1 published."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evolvent.report.tables import Table

if TYPE_CHECKING:
    from evolvent.evaluation.figures import Figures
    from evolvent.evaluation.published import Published

# Of tasks with several figures, the one that stands in a column with the task's name alone.
PRINCIPAL = {"gsm8k": "flexible extract", "mmlu": "flexible extract", "ceval": "flexible extract"}
# What the published figures are of: MATH, where ``math`` is 500 of its problems; all subjects of MMLU.
ITEMS = {
    "ifeval": 541,
    "gsm8k": 1319,
    "math": 5000,
    "humaneval": 164,
    "mbpp": 500,
    "mmlu": 14042,
    "ceval": 1346,
    "followbench": 820,
}
NOTES = (
    "published (arXiv 2412.11231): students of 3 to 8 B, fully fine-tuned on data of a method and an evolver (70B, 8B:",
    "Llama-3.1) that wrote them at T=0.7; IFEval and FollowBench by their own code, the rest by OpenCompass; other",
    "prompts or another decoding alone move a figure by points",
)


def published_table(found: "Sequence[Figures]", rows: "Sequence[Published]") -> Table:
    """The figures that were found, above the published ones of the same columns; none of other items."""
    ours = {
        column: f"{100 * one.value:.2f}"
        for of in found
        if of.items == ITEMS.get(of.task)
        for one in of.figures
        for column in (f"{of.task}: {one.name}", of.task)
        if one.value is not None and (":" in column or one.name == PRINCIPAL.get(of.task, one.name))
    }
    columns = [name for name in dict.fromkeys(name for row in rows for name in row.figures) if name in ours]
    cells = [
        (row.table, f"{row.base}, {row.data}", *(_cell(row.figures.get(name)) for name in columns))
        for row in rows
        if set(columns) & row.figures.keys()
    ]
    first = ("", "this model", *(ours[name] for name in columns))
    left_out = tuple(
        f"left out: {of.task}, of {of.items:,} items here and of {ITEMS[of.task]:,} there"
        for of in found
        if of.items != ITEMS.get(of.task, of.items)
    )
    return Table("beside paper 1", ("table", "student", *columns), [first, *cells], (*NOTES, *left_out))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
