"""Run: what a stage returns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolvent.costs.estimates import Estimate
from evolvent.records import Record
from evolvent.runs.record_files import read_records

if TYPE_CHECKING:
    from evolvent.runs.sampled import Preview


@dataclass(slots=True)
class Run:
    """What a stage returns: the run folder, the file it wrote and what it counted.

    Attributes:
        path: the run folder.
        stage: the stage that was run.
        output: the file that the stage wrote.
        counts: rows and what became of them.
        already_done: whether there was nothing left to do.
        estimate: of a dry run, what the stage would take; then nothing else was done.
        preview: of a preview, what the first records became; then the stage is neither begun nor finished.
        stages: by name, the runs of all stages that the same call ran, where it ran several.
        others: further files that the stage wrote.
        made: what this command did of it: ``records``, those done ``before`` it, and the ``calls``, ``prompt_tokens``
            and ``completion_tokens`` of the replies that it was given; ``counts`` are those of all commands together.
    """

    path: Path
    stage: str
    output: Path
    counts: dict[str, Any]
    already_done: bool = False
    estimate: Estimate | None = None
    preview: "Preview | None" = None
    stages: "dict[str, Run]" = field(default_factory=dict)
    others: tuple[Path, ...] = ()
    made: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Record]:
        """The records of the stage's file."""
        return read_records(self.output)
