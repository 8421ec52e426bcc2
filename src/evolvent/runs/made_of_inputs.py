"""Inputs of stages that are made of another input by a plain function; so is one with an earlier file's scores."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.runs.inputs import StageInput
from evolvent.runs.record_files import read_records


@dataclass(frozen=True, slots=True)
class Derived:
    """An input made of another by a plain function.

    Attributes:
        source: the other one.
        make: given it, start and before (see ``StageInput.records``), the records; a function of a module, or
            ``functools.partial`` of one, so that it can be sent to another process.
        rows: how many records it makes.
        counts: what there is to count.
    """

    source: StageInput
    make: Callable[[StageInput, int, int], Iterator[tuple[int, Record]]]
    rows: int
    counts: dict[str, int]

    @property
    def about(self) -> dict[str, Any]:
        return self.source.about

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:
        return self.make(self.source, start, before)

    def reach(self, record: int) -> tuple[int, int]:  # noqa: ARG002
        return 0, 0

    def __iter__(self) -> Iterator[Record]:
        return (record for _, record in self.records())

    def begins_with(self, noted: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return False

    def unchanged(self) -> None:
        self.source.unchanged()

    def keep(self, folder: Path) -> None:
        self.source.keep(folder)


def with_earlier_scores(source: StageInput, earlier: Path) -> Derived:
    """An input, each record with the scores that an earlier file of the same records has.

    Args:
        source: the input.
        earlier: the record file: one row for each record, in order.
    """
    return Derived(source, partial(_joined, earlier), source.rows, source.counts)


def _joined(earlier: Path, source: StageInput, start: int, before: int) -> Iterator[tuple[int, Record]]:
    rows = zip(source.records(start, before), read_records(earlier, before), strict=False)
    for (position, record), scored in rows:
        if record.id != scored.id:
            raise InputError(
                f"{earlier} has the record {scored.id} where {source.about['source']} has {record.id}",
                fix="Score anew with --fresh.",
            )
        yield position, replace(record, scores={**record.scores, **scored.scores})
