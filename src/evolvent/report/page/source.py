"""What a report is made of: run folders, and the rankings that they are candidates of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import InputError
from evolvent.ranking.candidates import RESULT
from evolvent.report.tables import short_names
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.record_files import is_record_file
from evolvent.stages import file_of
from evolvent.storage_errors import explained


@dataclass(frozen=True, slots=True)
class Source:
    """A run folder.

    Attributes:
        name: what it is called in the report.
        folder: where it is.
        entries: its manifest.
    """

    name: str
    folder: Path
    entries: Mapping[str, StageEntry]

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
        runs: the run folders; others are compared with the first.
        rankings: what ranking.json holds, by the folder that it lies in.
    """

    runs: Sequence[Source]
    rankings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_sources(folders: Sequence[Path]) -> Sources:
    """Read what folders hold.

    Args:
        folders: run folders, and folders that ``rank`` has written: their candidates' folders are runs.

    Raises:
        InputError: one is neither, or cannot be read.
    """
    rankings = {str(folder): _ranking(folder) for folder in folders if (folder / RESULT).is_file()}
    runs = dict(_runs(folders, rankings))
    if not runs and not rankings:
        raise InputError(f"{folders[0]} holds nothing to report", fix="Name a run folder.")
    return Sources([Source(name, folder, read_manifest(folder)) for name, folder in runs.items()], rankings)


def _runs(folders: Sequence[Path], rankings: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Path]]:
    """The run folders with their names: of a ranking's candidates those that the ranking calls them by."""
    plain = [folder for folder in folders if str(folder) not in rankings]
    for name, folder in zip(_names(plain), plain, strict=True):
        if not read_manifest(folder):
            raise InputError(
                f"{folder} is not a run folder", fix="Name a folder that a stage or a ranking has written."
            )
        yield name, folder
    for folder in folders:
        candidates = rankings.get(str(folder), {}).get("candidates", {})
        short = short_names(candidates)[0]
        for name, place in candidates.items():
            if read_manifest(folder / place):
                yield short[name], folder / place


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with as much of their paths as tells them apart."""
    depth = 1
    parts = [folder.absolute().parts for folder in folders]
    while depth < max(map(len, parts), default=0) and len({one[-depth:] for one in parts}) < len(parts):
        depth += 1
    return ["/".join(one[-depth:]) for one in parts]


def _ranking(folder: Path) -> Mapping[str, Any]:
    path = folder / RESULT
    with explained(path, "read"):
        content = path.read_bytes()
    try:
        found: dict[str, Any] = orjson.loads(content)
        if isinstance(found["candidates"], dict) and isinstance(found["rankings"], list):
            return found
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is not a ranking of evolvent", fix="Rank again; calls that are stored are used.")
