"""MND, minimum neighbour distance: how far an instruction is from the nearest other one of its set.

Source: arXiv 2412.11231, section 3.2, and its published code (AutoIF/eval_diversity.py, after Magpie's): with unit
vectors, the squared L2 distance is 2 - 2 cos. Equal texts are at 0 exactly, and each other's repeats.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evolvent.metrics.embeddings import Embedded, embedded
from evolvent.metrics.metric import Metric, Values, Whole, Window
from evolvent.metrics.neighbours import neighbours
from evolvent.records import Column

if TYPE_CHECKING:
    import numpy as np

REPEATED = 0.05  # squared L2 distance under which two instructions are repeats of each other
ALONE = "no other instruction to be far from"


@dataclass(slots=True)
class Distances:
    """What is near to each distinct instruction of a set: squared L2 to the nearest, and how many are its repeats."""

    texts: Embedded
    nearest: "np.ndarray"
    repeats: "np.ndarray"


async def prepare(whole: Whole) -> Distances:
    """Embed the instructions of the whole set and find each one's nearest."""
    import numpy as np

    stored: Any = whole.models.model("embed", whole.supplied["embed"])
    texts = ((record.id, record.question) for record in whole.records if record.question)
    async with embedded(texts, whole.records.rows, stored) as found:
        copies = np.array(found.copies, np.int64)
        near = await neighbours(found.vectors, copies, 1 - REPEATED / 2)
        distances = np.clip(2 - 2 * near.nearest, 0, None)
        distances[copies > 1] = 0
        return Distances(found, distances, near.close)


async def compute(window: Window, whole: Distances) -> list[Values]:
    """The columns of each record of a window."""
    values: list[Values] = []
    for place, record in enumerate(window.records):
        if not record.question:
            window.reasons[place] = "empty instruction"
            values.append({})
            continue
        text = whole.texts.place(record.question)
        distance = float(whole.nearest[text])
        if distance != distance:
            window.reasons[place] = ALONE
            values.append({})
        else:
            values.append({"mnd": distance, "mnd_cosine": distance / 2, "repeats": int(whole.repeats[text])})
    return values


MND = Metric(
    "mnd",
    ("embed",),
    (
        Column("mnd", "double", "squared L2", "higher"),
        Column("mnd_cosine", "double", "1 - cosine", "higher"),
        Column("repeats", "int64", "rows", "lower"),
    ),
    compute,
    prepare=prepare,
    packages=(("faiss", "embed"),),
)
