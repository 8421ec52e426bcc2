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
from evolvent.runs.estimates import Estimate
from evolvent.runs.manifest import (
    OUTPUTS,
    StageEntry,
    describe_file,
    differences,
    now,
    read_manifest,
    versions,
    write_manifest,
)
from evolvent.runs.parts import drop_parts, has_parts, reopen
from evolvent.runs.tables import read_records
from evolvent.storage_errors import explained

Account = dict[str, dict[str, Any]]

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
        estimate: of a dry run, what the stage would take; then nothing else was done.
    """

    path: Path
    stage: str
    output: Path
    counts: dict[str, Any]
    already_done: bool = False
    estimate: Estimate | None = None

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
        with explained(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise InputError(f"--out {self.path} is a file", fix="Name a folder: the run's files go into it.")
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

    def begin(
        self, stage: str, settings: dict[str, Any], source: dict[str, Any], *, fresh: bool, retry_failed: bool = False
    ) -> Run | None:
        """Begin a stage, or go on with it.

        Args:
            stage: its name.
            settings: every setting that changes its output.
            source: its input; ``digest`` says whether it is the same.
            fresh: make the stage's output anew, whatever the folder holds; stored calls are kept.
            retry_failed: take the failed records of a finished stage again, and nothing else.

        Returns:
            The finished run if there is nothing left to do, else None.

        Raises:
            InputError: the folder holds this stage with other settings or another input.
        """
        entry, output = self.stages.get(stage), self.output(stage)
        if entry is not None and _came_to_nothing(entry) and not has_parts(output):
            entry = None
        if entry is not None and not fresh:
            found = differences(entry, settings, source)
            if found:
                raise InputError(
                    f"run folder {self.path} holds {stage} with other settings:\n  " + "\n  ".join(found),
                    fix="Use another --out, or --fresh to make this stage anew (equal calls are not paid again).",
                )
            if entry.state != "running" and entry.finished and output.is_file():
                if retry_failed and entry.counts.get("failed"):
                    reopen(output)
                    self._mark_later_stale(stage)
                else:
                    # Stale: an earlier stage was made anew and came out the same, so what was made of it still holds.
                    if entry.state == "stale":
                        entry.state = "done"
                        write_manifest(self.path, self.stages)
                    return Run(self.path, stage, output, entry.counts, already_done=True)
        if entry is None or fresh:
            drop_parts(output)
            entry = StageEntry(settings, source, started=now())
            self.stages[stage] = entry
            self._mark_later_stale(stage)
            self.stages = {name: self.stages[name] for name in OUTPUTS if name in self.stages}
        entry.state, entry.finished = "running", ""
        self._since = time.monotonic()
        return None

    def _mark_later_stale(self, stage: str) -> None:
        order = list(OUTPUTS)
        for later in order[order.index(stage) + 1 :]:
            if later in self.stages:
                self.stages[later].state = "stale"

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

    def finish(self, stage: str, counts: dict[str, Any], used: Account, paid: Account) -> Run:
        """Note that a stage is done, when its file is in place.

        Args:
            stage: its name.
            counts: rows and what became of them.
            used: what the rows took from each model, by URI.
            paid: what this stage has paid for in this folder, by URI.
        """
        entry = self.stages[stage]
        entry.state, entry.finished, entry.counts, entry.used = "done", now(), counts, used
        entry.output = describe_file(self.output(stage))
        self._note(entry, paid)
        drop_parts(self.output(stage))
        return Run(self.path, stage, self.output(stage), counts)

    def interrupt(self, stage: str, paid: Account) -> None:
        """Note what a stage has paid for before it was stopped."""
        self._note(self.stages[stage], paid)

    def _note(self, entry: StageEntry, paid: Account) -> None:
        entry.paid = paid
        entry.wall_s = round(entry.wall_s + time.monotonic() - self._since, 3)
        entry.versions = versions()
        write_manifest(self.path, self.stages)


def in_use(folder: Path) -> bool:
    """Whether a process works in a run folder at this moment."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that only look do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _came_to_nothing(entry: StageEntry) -> bool:
    """Whether a stage was stopped before its first reply (a wrong model, say): then it binds nobody."""
    return entry.state == "running" and bool(entry.models) and not entry.paid and entry.wall_s > 0
