"""The options of convert, and of what writes training data."""

from dataclasses import dataclass
from typing import Any

from evolvent.datasets.formats import check_format
from evolvent.datasets.render import OUTPUT_FORMATS
from evolvent.options import MISSING, Interface, Reading, argument, option

# A file that training data is written to.
WRITTEN = "The file to write: .jsonl .json .csv .parquet."


def output_format(default: Any = MISSING) -> Any:
    """An option: the format to write."""
    known = list(OUTPUT_FORMATS)
    help = f"The format to write: {', '.join(known[:-1])} or {known[-1]}."
    return option(help, default, metavar="NAME", check=lambda one: check_format(one, OUTPUT_FORMATS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Converting:
    """What data is converted to."""

    to: str = output_format()
    all: bool = option("Of a run, write every row: also what is not ok, seeds, and what has no answer.", False)
    with_history: bool = option("Of a run, write our other columns, too: how each row came about, in meta.", False)
    dataset_info: bool = option("Enter the file into a dataset_info.json beside it, for LLaMA-Factory.", False)


CONVERT = Interface(
    "evolvent.runs.convert",
    "convert",
    {
        "data": argument("A run folder, a data file or a Hub id.", "IN", more="Or a Run, or an iterable of dicts."),
        "out": argument(WRITTEN, "OUT"),
    },
    (Converting, Reading),
)
