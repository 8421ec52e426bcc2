"""Inputs of stages that are made of another input: with an earlier file's scores, or by a plain function."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.runs.inputs import StageInput
from evolvent.runs.record_files import read_records


@dataclass(frozen=True, slots=True)
class Joined:
    """An input, each record with the scores that an earlier file of the same records has.

    Attributes:
        source: the input.
        earlier: the record file: one row for each record, in order.
    """

    source: StageInput
    earlier: Path

    @property
    def about(self) -> dict[str, Any]:
        return self.source.about

    @property
    def rows(self) -> int:
        return self.source.rows

    @property
    def counts(self) -> dict[str, int]:
        return self.source.counts

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:
        rows = zip(self.source.records(start, before), read_records(self.earlier, before), strict=False)
        for (position, record), scored in rows:
            if record.id != scored.id:
                raise InputError(
                    f"{self.earlier} has the record {scored.id} where {self.source.about['source']} has {record.id}",
                    fix="Score anew with --fresh.",
                )
            yield position, replace(record, scores={**record.scores, **scored.scores})

    def __iter__(self) -> Iterator[Record]:
        return (record for _, record in self.records())

    def begins_with(self, noted: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return False

    def unchanged(self) -> None:
        self.source.unchanged()

    def keep(self, folder: Path) -> None:
        self.source.keep(folder)


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

    def __iter__(self) -> Iterator[Record]:
        return (record for _, record in self.records())

    def begins_with(self, noted: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return False

    def unchanged(self) -> None:
        self.source.unchanged()

    def keep(self, folder: Path) -> None:
        self.source.keep(folder)
