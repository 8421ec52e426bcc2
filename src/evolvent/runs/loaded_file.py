"""Instruction data of any format as a stage's input."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evolvent.datasets.load import InstructionData, load
from evolvent.errors import InputError
from evolvent.object_storage.urls import url_or_path
from evolvent.records import Record


class LoadedFile:
    """Instruction data of any format, checked from the first row to the last.

    Args:
        data: what is loaded.
        how: how it is read (see ``evolvent.load``), with ``known``: an earlier check's findings.
        checked: the name of the file that keeps this check's findings.
    """

    def __init__(self, data: str | Path | Iterable[Mapping[str, Any]], how: dict[str, Any], checked: str) -> None:
        self._data, self._how, self._checked = data, how, checked
        self._loaded: InstructionData = load(data, **how)
        loaded, mapping = self._loaded, how["map"]
        name = url_or_path(data) if isinstance(data, str | Path) else type(data).__name__
        self.about: dict[str, Any] = {"source": name, "format": loaded.format, "rows": loaded.rows}
        self.about |= {"digest": loaded.digest, "limit": how["limit"], "map": dict(mapping) if mapping else None}
        counts = {"skipped rows": loaded.skipped, "exact duplicates": loaded.duplicates}
        counts["inputs that said there is none"] = loaded.no_input
        self.counts = {name: n for name, n in counts.items() if n}

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._data, str | Path):
            raise InputError("data that is no file cannot be sent to another process", fix="Write it to a file first.")
        return LoadedFile, (self._data, self._how, self._checked)

    @property
    def rows(self) -> int:
        return self._loaded.rows

    def records(self, start: int = 0, before: int = 0) -> Iterator[tuple[int, Record]]:  # noqa: ARG002
        return ((record.seed_index, record) for record in self._loaded.records(start))

    def reach(self, record: int) -> tuple[int, int]:
        return (record, record) if self._loaded.seeks else (0, 0)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._loaded)

    def begins_with(self, noted: Mapping[str, Any]) -> bool:
        return bool(noted["rows"] <= self.rows and self._loaded.digest_of(noted["rows"]) == noted["digest"])

    def unchanged(self) -> None:
        self._loaded.unchanged()

    def keep(self, folder: Path) -> None:
        self._loaded.keep(folder / self._checked)
