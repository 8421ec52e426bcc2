"""The run folder: opened by one process at a time, its stages begun, continued and finished through its manifest."""

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evolvent.errors import InputError
from evolvent.records import Record
from evolvent.runs.manifest import (
    OUTPUTS,
    StageEntry,
    differences,
    now,
    read_manifest,
    versions,
    write_manifest,
)
from evolvent.runs.stored import Tally
from evolvent.runs.tables import read_records
from evolvent.storage_errors import explained

CALLS = "calls.sqlite"
LOCK = ".lock"


@dataclass(slots=True)
class Run:
    """What a stage returns: the run folder, the file it wrote and what it counted.

    Attributes:
        path: the run folder.
        stage: the stage that was run.
        output: the file that the stage wrote.
        counts: rows and what became of them.
        already_done: whether there was nothing left to do.
    """

    path: Path
    stage: str
    output: Path
    counts: dict[str, Any]
    already_done: bool = False

    def __iter__(self) -> Iterator[Record]:
        """The records of the stage's file."""
        return read_records(self.output)


@dataclass(slots=True)
class RunFolder:
    """A run folder held open; a context manager that holds the folder's lock.

    The lock is the kernel's (flock): it ends with the process, however that ends.
    """

    path: Path
    stages: dict[str, StageEntry] = field(default_factory=dict)
    _lock: int = -1
    _since: float = 0.0

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {self.path} is a file", fix="Name a folder: the run's files go into it.")
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise InputError(
                f"run folder {self.path} is in use by another process (pid {holder})",
                fix="Wait until it is done, stop it, or use another --out.",
            ) from error
        with explained(self.path):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        try:
            self.stages = read_manifest(self.path)
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def output(self, stage: str) -> Path:
        """The file that a stage writes."""
        return self.path / OUTPUTS[stage]

    def begin(self, stage: str, settings: dict[str, Any], source: dict[str, Any], *, fresh: bool) -> Run | None:
        """Begin a stage, or go on with it.

        Args:
            stage: its name.
            settings: every setting that changes its output.
            source: its input; ``digest`` says whether it is the same.
            fresh: make the stage's output anew, whatever the folder holds; stored calls are kept.

        Returns:
            The finished run if there is nothing left to do, else None.

        Raises:
            InputError: the folder holds this stage with other settings or another input.
        """
        entry = self.stages.get(stage)
        if entry is not None and _came_to_nothing(entry):
            entry = None
        if entry is not None and not fresh:
            found = differences(entry, settings, source)
            if found:
                raise InputError(
                    f"run folder {self.path} holds {stage} with other settings:\n  " + "\n  ".join(found),
                    fix="Use another --out, or --fresh to make this stage anew (equal calls are not paid again).",
                )
            if entry.state == "done" and self.output(stage).is_file():
                return Run(self.path, stage, self.output(stage), entry.counts, already_done=True)
            if entry.state == "stale" and self.output(stage).is_file() and entry.finished:
                # An earlier stage was made anew and came out the same: what was made of it still holds.
                entry.state = "done"
                write_manifest(self.path, self.stages)
                return Run(self.path, stage, self.output(stage), entry.counts, already_done=True)
        if entry is None or fresh:
            entry = StageEntry(settings, source, started=now())
            self.stages[stage] = entry
            order = list(OUTPUTS)
            for later in order[order.index(stage) + 1 :]:
                if later in self.stages:
                    self.stages[later].state = "stale"
            self.stages = {name: self.stages[name] for name in order if name in self.stages}
        entry.state, entry.finished, entry.versions = "running", "", versions()
        self._since = time.monotonic()
        return None

    def check_models(self, stage: str, models: dict[str, str]) -> None:
        """Note the models' identities and that the stage is under way; nothing is written before its models are open.

        An interrupted stage must go on with the very same models.

        Raises:
            InputError: a model's weights, server or request fields are not those that the stage began with.
        """
        entry = self.stages[stage]
        changed = [uri for uri, identity in models.items() if entry.models.get(uri, identity) != identity]
        if changed:
            raise InputError(
                f"{stage} in {self.path} began with another {', '.join(changed)}: its weights, server or request "
                "fields have changed since",
                fix="Use another --out, or --fresh to make this stage anew.",
            )
        entry.models = models
        write_manifest(self.path, self.stages)

    def finish(self, stage: str, counts: dict[str, Any], usage: dict[str, Tally]) -> Run:
        """Note that a stage is done, when its file is in place."""
        entry = self.stages[stage]
        entry.state, entry.finished, entry.counts = "done", now(), counts
        self._add(entry, usage)
        write_manifest(self.path, self.stages)
        return Run(self.path, stage, self.output(stage), counts)

    def interrupt(self, stage: str, usage: dict[str, Tally]) -> None:
        """Note what a stage used before it was stopped."""
        self._add(self.stages[stage], usage)
        write_manifest(self.path, self.stages)

    def _add(self, entry: StageEntry, usage: dict[str, Tally]) -> None:
        entry.wall_s = round(entry.wall_s + time.monotonic() - self._since, 3)
        for uri, tally in usage.items():
            made = entry.usage.get(uri, {}).get("calls_made", 0) + tally.made
            entry.usage[uri] = {
                "calls_made": made,
                "calls_reused": tally.reused,
                "prompt_tokens": tally.prompt_tokens,
                "completion_tokens": tally.completion_tokens,
                "estimated": tally.estimated,
                "cut_max_tokens": tally.cut_max_tokens,
            }


def in_use(folder: Path) -> bool:
    """Whether a process works in a run folder at this moment."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _came_to_nothing(entry: StageEntry) -> bool:
    """Whether a stage was stopped before its first reply (a wrong model, say): then it binds nobody."""
    used = [usage["calls_made"] + usage["calls_reused"] for usage in entry.usage.values()]
    return entry.state == "running" and bool(used) and not any(used)
