"""What a report is made of: run folders with what lies in them, and the rankings that they are candidates of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.files import MANIFEST
from evolvent.models.short_names import short_names
from evolvent.ranking.candidates import RESULT, TRIAL
from evolvent.ranking.result import Ranked, read_result
from evolvent.ranking.sample import read_plan
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.no_run import no_run
from evolvent.runs.record_files import is_record_file
from evolvent.stages import file_of


@dataclass(frozen=True, slots=True)
class Source:
    """A run folder.

    Attributes:
        name: what it is called in the report.
        folder: where it is.
        entries: its manifest.
        within: the name of the run in whose folder it lies: it holds named stages of a recipe, or the model that an
            evaluation is compared with. Empty for a run of its own.
    """

    name: str
    folder: Path
    entries: Mapping[str, StageEntry]
    within: str = ""

    def records(self, stage: str) -> Path | None:
        """The record file of a stage; None if it is not finished, gone, or is made anew."""
        entry, path = self.entries.get(stage), self.folder / file_of(stage)
        return path if entry is not None and entry.state != "running" and is_record_file(path) else None

    @property
    def evolved(self) -> Path | None:
        """Its seeds and their evolutions."""
        return self.records("evolve")

    @property
    def answers(self) -> Path | None:
        """Its answers: with scores if they are scored."""
        return self.records("score") or self.records("respond")


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a report tells of.

    Attributes:
        runs: the run folders, each with those that lie in it behind it.
        rankings: the rankings whose candidates they are, or one of their own.
        students: the folders of a trial's students, each by its candidate's name.
    """

    runs: Sequence[Source]
    rankings: Sequence[Ranked] = ()
    students: Sequence[Source] = ()

    @property
    def whole(self) -> Sequence[Source]:
        """The runs that lie in no other: the others of them are compared with the first."""
        return [run for run in self.runs if not run.within]


def called_in(run: Source, model: str, *, several: bool) -> str:
    """What a model of a run is called where there may be several runs; candidates are often named after theirs."""
    return f"{run.name}: {model}" if several and run.name != model else model


def plan_of(ranked: Ranked) -> Mapping[str, Any] | None:
    """What was planned of a ranking; None of one that no command has made.

    Raises:
        InputError: it cannot be read.
    """
    return read_plan(ranked.plan) if ranked.plan.is_file() else None


def read_sources(folders: Sequence[Path]) -> Sources:
    """Read what folders hold.

    Args:
        folders: run folders, and folders that ``rank`` has written: their candidates' folders are runs.

    Raises:
        InputError: one is neither, or cannot be read.
    """
    rankings = {folder: ranked for folder in folders if (ranked := read_result(folder)) is not None}
    runs = {run.folder: run for name, folder in _named(folders, rankings) for run in _with_inner(name, folder)}
    students = [
        Source(short_names(ranked.candidates)[0][name], place.parent, read_manifest(place.parent))
        for ranked in rankings.values()
        for name, folder in ranked.candidates.items()
        for place in sorted(folder.glob(f"{TRIAL}/*/*/{MANIFEST}"))
    ]
    return Sources(list(runs.values()), list(rankings.values()), students)


def is_told_of(folder: Path) -> bool:
    """Whether a folder holds anything that a report tells of."""
    return (folder / RESULT).is_file() or any(_with_inner("", folder))


def _named(folders: Sequence[Path], rankings: Mapping[Path, Ranked]) -> Iterator[tuple[str, Path]]:
    """The run folders with their names: of a ranking's candidates those that the ranking calls them by."""
    plain = [folder for folder in folders if folder not in rankings]
    for name, folder in zip(_names(plain), plain, strict=True):
        if not any(_with_inner(name, folder)):
            raise no_run(folder, "Name a folder that a stage or a ranking has written.")
        yield name, folder
    for ranked in rankings.values():
        short = short_names(ranked.candidates)[0]
        yield from ((short[name], folder) for name, folder in ranked.candidates.items())


def _with_inner(name: str, folder: Path, within: str = "") -> Iterator[Source]:
    """A run folder, and the run folders that lie in it; of a folder that is none, those are runs of their own."""
    entries = read_manifest(folder)
    if entries:
        yield Source(name, folder, entries, within)
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        yield from _with_inner(f"{name}/{manifest.parent.name}", manifest.parent, name if entries else "")


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with as much of their paths as tells them apart."""
    depth = 1
    parts = [folder.absolute().parts for folder in folders]
    while depth < max(map(len, parts), default=0) and len({one[-depth:] for one in parts}) < len(parts):
        depth += 1
    return ["/".join(one[-depth:]) for one in parts]
