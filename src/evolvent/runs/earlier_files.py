"""The record files that a run's file was made of: where a row's ancestors are."""

from collections.abc import Iterator
from pathlib import Path

from evolvent.files import file_digest
from evolvent.runs.inputs import FIRST
from evolvent.runs.manifest import read_manifest
from evolvent.runs.record_files import is_record_file
from evolvent.stages import STAGES, file_of


def with_earlier_files(path: Path) -> Iterator[Path]:
    """A record file, the one that it was made of, and so on, as far as they are there as they were then.

    Args:
        path: the file; nothing comes of it if it is no record file.
    """
    while is_record_file(path):
        yield path
        stage = next((stage for stage in STAGES if file_of(stage) == path.name), None)
        entry = read_manifest(path.parent).get(stage) if stage is not None else None
        if entry is None:
            return
        made_of, digest = entry.input, entry.input["digest"].partition(FIRST)[0]
        path = path.parent / file_of(made_of["stage"]) if made_of.get("stage") else Path(made_of["source"])
        if not path.is_file() or file_digest(path) != digest:
            return
