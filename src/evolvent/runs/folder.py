"""The run folder: opened by one process at a time, its stages begun, continued and finished through its manifest."""

import copy
import logging
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evolvent.errors import EvolventError, InputError
from evolvent.files import describe_file
from evolvent.runs.lock import FolderLock
from evolvent.runs.manifest import (
    DECIDING,
    StageEntry,
    as_json,
    check_as_written,
    differences,
    growth,
    now,
    read_manifest,
    versions,
    write_manifest,
)
from evolvent.runs.part_files import check_whole
from evolvent.runs.parts import drop_parts, earlier_file, has_parts, keep_earlier, leave_out, parts_folder, reopen
from evolvent.runs.run import Run
from evolvent.runs.tally import Tally
from evolvent.stages import file_of, holds_records, in_order, readers_of
from evolvent.storage_errors import explained

Account = dict[str, dict[str, Any]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Task:
    """What a stage is about to do: go on with its entry, make its output anew, add columns to it, retry what failed."""

    entry: StageEntry
    anew: bool
    fresh: bool
    retry: bool = False
    adding: bool = False
    retry_failed: bool = False
    retry_empty: bool = False
    grown: Sequence[str] = ()  # what has, in words

    def wrong(self, tally: Tally) -> bool:
        """Whether rows of these counts are to be made again."""
        return bool((self.retry_failed and tally.status["failed"]) or (self.retry_empty and tally.empty))


@dataclass(slots=True)
class RunFolder:
    """A run folder held open; a context manager that holds the folder's lock."""

    path: Path
    stages: dict[str, StageEntry] = field(default_factory=dict)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _lock: FolderLock = field(init=False)
    _since: float = 0.0  # when the stage started; 0 before
    _before: dict[str, StageEntry] = field(default_factory=dict)  # the stages as they were when it started

    def __enter__(self) -> Self:
        self._lock = FolderLock(self.path)
        self._lock.take()
        try:
            self.stages = read_manifest(self.path)
        except BaseException:
            self._lock.undo()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._since:
            self._lock.undo()
            return
        try:
            self._lock.give_up()
        except EvolventError as problem:
            if error is None:
                raise
            log.warning("warning: %s", problem)  # what ended the stage is said, and decides the exit status

    def check_there(self) -> None:
        """Check that the folder is still the one that was opened; errors as for ``FolderLock.check_there``."""
        self._lock.check_there()

    def output(self, stage: str) -> Path:
        """The file that a stage writes."""
        return self.path / file_of(stage)

    def begin(
        self,
        stage: str,
        settings: Mapping[str, Any],
        source: dict[str, Any],
        *,
        fresh: bool = False,
        retry_failed: bool = False,
        retry_empty: bool = False,
        mix_versions: bool = False,
        adds_to: Mapping[str, Any] | None = None,
        grows: Collection[str] = (),
        begins_with: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> Run | None:
        """Find out what there is to do; nothing is changed before the stage starts (``start``).

        Args:
            stage: its name.
            settings: every setting that changes its output.
            source: its input; ``digest`` says whether it is the same.
            fresh: make the stage's output anew, whatever the folder holds; stored calls are kept.
            retry_failed: take the failed records of a finished stage again, and nothing else.
            retry_empty: take the records again that a reply without text was made for, of an unfinished stage too.
            mix_versions: go on although packages that decide numbers have changed since the stage began.
            adds_to: the settings of the finished stage whose rows get further columns; if it is stale, and its input
                came out otherwise, the stage is made anew.
            grows: settings that may grow, and ``input``: if nothing else differs the stage is made anew.
            begins_with: whether the input begins with the one that the manifest noted this of.

        Returns:
            The finished run if there is nothing left to do, else None.

        Raises:
            InputError: the folder holds this stage with other settings or another input, or began it with other
                versions of packages.
        """
        if fresh and retry_failed:
            raise InputError("--fresh and --retry-failed exclude each other", fix="Leave one of them out.")
        if (retry_failed or retry_empty) and not self.stages:
            option, what = ("--retry-failed", "failures") if retry_failed else ("--retry-empty", "replies")
            raise InputError(
                f"{option}: {self.path} holds no {stage} with {what}",
                fix=f"Name the run's folder, or leave {option} out.",
            )
        settings = as_json(settings, stage)
        entry, output = self.stages.get(stage), self.output(stage)
        kept = has_parts(output) or earlier_file(output).exists()
        if entry is not None and entry.came_to_nothing and not kept:
            entry = None
        task = _Task(
            entry or StageEntry(settings, source, started=now()),
            anew=entry is None,
            fresh=fresh,
            retry_failed=retry_failed,
            retry_empty=retry_empty,
        )
        if entry is not None:
            grown = partial(growth, grows=grows, begins_with=begins_with)
            if self._is_done(stage, task, entry, settings, source, adds_to, grown):
                if entry.state == "shard":
                    return Run(self.path, stage, parts_folder(output), entry.counts, already_done=True)
                drop_parts(output)  # a kill may have left them there, although all is done
                # Stale: what it reads was made anew and came out the same, so what was made of it still holds.
                if entry.state == "stale":
                    entry.state = "done"
                    self.write()
                return Run(self.path, stage, output, entry.counts, already_done=True)
            if task.anew:
                task.entry = StageEntry(settings, source, started=now())
            if task.adding:  # the columns that are there are still of these
                task.entry.models, task.entry.versions = dict(entry.models), dict(entry.versions)
                task.entry.output, task.entry.started = dict(entry.output), entry.started
                task.entry.wall_s, task.entry.joined = entry.wall_s, dict(entry.joined)
            if task.grown:  # all but its counts, which are to come: what is there is good until then
                task.entry = replace(copy.deepcopy(entry), settings=settings, input=source, counts={}, versions={})
            if task.adding or not task.anew:
                self._check_versions(stage, task, mix=mix_versions or task.adding)
        self._tasks[stage] = task
        return None

    def _is_done(
        self,
        stage: str,
        task: _Task,
        entry: StageEntry,
        settings: dict[str, Any],
        source: dict[str, Any],
        adds_to: Mapping[str, Any] | None,
        grown: Callable[[StageEntry, Mapping[str, Any], Mapping[str, Any]], list[str]],
    ) -> bool:
        """Find out what there is to do for a stage that the folder holds, noted in the task; whether there is nothing.

        Raises:
            InputError: the folder holds it with other settings or another input, or a damaged file of it.
        """
        output, found = self.output(stage), differences(entry, settings, source)
        if entry.state == "shard" and not found and not task.fresh:
            return True
        finished = entry.state != "running" and bool(entry.finished) and output.exists()
        if finished and not task.fresh and not (found and entry.state == "stale"):
            check_as_written(output, entry)
        builds_on = settings if adds_to is None else as_json(adds_to, stage)
        if adds_to is not None and finished and not differences(entry, builds_on, source):
            task.adding = task.anew = True
        elif task.fresh:
            # An interrupted stage with these very settings goes on: it is what --fresh had begun.
            task.anew = bool(found) or entry.state != "running"
        elif found and entry.state == "stale" and not differences(entry, builds_on, entry.input):
            task.anew = True  # what it reads was made anew and came out otherwise
        elif found and (lines := grown(entry, builds_on, entry.input if entry.state == "stale" else source)):
            task.anew, task.grown = True, lines
        elif found:
            raise InputError(
                f"run folder {self.path} holds {stage} with other settings:\n  " + "\n  ".join(found),
                fix="Use another --out, or --fresh to make this stage anew (equal calls are not paid again).",
            )
        elif finished:
            empty = any(used.get("empty") for used in entry.used.values())
            task.retry = bool((task.retry_failed and entry.counts.get("failed")) or (task.retry_empty and empty))
            return not task.retry
        return False

    def start(self, stage: str, models: dict[str, str]) -> None:
        """Note that the stage is under way, with these models; an interrupted one must go on with the very same.

        Args:
            stage: its name, begun before.
            models: their identities by URI.

        Raises:
            InputError: a model's weights, server or request fields are not those that the stage began with.
        """
        task = self._tasks[stage]
        entry, output = task.entry, self.output(stage)
        changed = [uri for uri, identity in models.items() if entry.models.get(uri, identity) != identity]
        self._before = copy.deepcopy(self.stages)
        if changed and task.fresh:
            task.anew = True
            entry = StageEntry(entry.settings, entry.input, started=now())
        elif changed:
            raise InputError(
                f"{stage} in {self.path} began with another {', '.join(changed)}: its weights, server or request "
                "fields have changed since",
                fix="Use another --out, or --fresh to make this stage anew.",
            )
        if task.grown:
            log.warning("%s: %s: going on; calls that are stored are not paid again", stage, ", ".join(task.grown))
        if task.anew:
            drop_parts(output)
            if not holds_records(stage):
                with explained(output):  # such a file or folder says how far its stage is
                    shutil.rmtree(output) if output.is_dir() else output.unlink(missing_ok=True)
        if task.adding:
            keep_earlier(output)
        elif not task.anew and earlier_file(output).exists():
            check_whole(earlier_file(output), "Make the stage anew with --fresh; equal calls are not paid again.")
        if task.retry:
            reopen(output, entry.mark, task.wrong)  # the finished file stays in place, and good, until the new one is
        elif task.retry_empty:
            leave_out(output, entry.mark, task.wrong)
        if task.anew or entry.finished:
            # Also when a retry is gone on with: later stages may have read the old file while it was interrupted.
            for reader in readers_of(stage, {name: other.input.get("stage") for name, other in self.stages.items()}):
                self.stages[reader].state = "stale"
        entry.state, entry.models = "running", {**entry.models, **models}
        entry.versions = entry.versions or versions()
        entry.output.setdefault("name", output.name)
        self.stages[stage] = entry
        self.stages = {name: self.stages[name] for name in in_order(self.stages)}
        self._since = time.monotonic()
        self.write()

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

    def finish_shard(self, stage: str, counts: dict[str, Any], whole: dict[str, Any], paid: Account) -> Run:
        """Note that a shard of a stage is made: its parts are there.

        Args:
            stage: its name.
            counts: rows of these parts and what became of them.
            whole: what merging needs to know of the whole stage (see ``StageEntry``).
            paid: what this stage has paid for in this folder, by URI.
        """
        entry = self.stages[stage]
        entry.state, entry.finished, entry.counts, entry.whole = "shard", now(), counts, whole
        self._note(entry, paid)
        return Run(self.path, stage, parts_folder(self.output(stage)), counts)

    def finish_merged(self, stage: str, entry: StageEntry) -> Run:
        """Note a stage that was made in shards, when its file is in place; what was made of another is stale.

        Args:
            stage: its name.
            entry: what all shards together did.
        """
        for reader in readers_of(stage, {name: other.input.get("stage") for name, other in self.stages.items()}):
            self.stages[reader].state = "stale"
        entry.state, entry.finished, entry.output = "done", now(), describe_file(self.output(stage))
        self.stages[stage] = entry
        self.stages = {name: self.stages[name] for name in in_order(self.stages)}
        self.write()
        drop_parts(self.output(stage))
        return Run(self.path, stage, self.output(stage), entry.counts)

    def note(
        self,
        stage: str,
        settings: Mapping[str, Any],
        source: dict[str, Any],
        counts: dict[str, Any],
        output: Path,
        seconds: float = 0.0,
    ) -> None:
        """Note a stage that is done at once, and whose file the folder holds.

        Args:
            stage: its name, with the file's where a folder may hold several.
            settings: every setting that changes its output.
            source: its input.
            counts: rows and what became of them.
            output: the file.
            seconds: of work, where it took any that counts.
        """
        entry = StageEntry(as_json(settings, stage), source, state="done", counts=counts, started=now(), finished=now())
        entry.output, entry.versions, entry.wall_s = describe_file(output), versions(), seconds
        self.stages[stage] = entry
        self.stages = {name: self.stages[name] for name in in_order(self.stages)}
        self.write()

    def interrupt(self, stage: str, paid: Account) -> None:
        """Note what a stage has paid for before it was stopped; one that came to nothing leaves all as it was."""
        if not self._since:
            return
        before, output = self._before.get(stage), self.output(stage)
        if (
            before
            and before.finished
            and output.exists()
            and not has_parts(output)
            and _calls(before.paid) == _calls(paid)
        ):
            drop_parts(output)
            self.stages = self._before
            self.write()
        else:
            self._note(self.stages[stage], paid)

    def _note(self, entry: StageEntry, paid: Account) -> None:
        entry.paid = paid
        entry.wall_s = round(entry.wall_s + time.monotonic() - self._since, 3)
        self.write()

    def _check_versions(self, stage: str, task: _Task, *, mix: bool) -> None:
        """Check that what is there of a stage was made with the packages of now, or note that they are mixed."""
        output = self.output(stage)
        whole = not holds_records(stage) and output.exists()  # such a file or folder says how far its stage is
        if not (task.retry or task.adding or whole or has_parts(output)):
            task.entry.versions = {}  # nothing is: all of it will be of now
            return
        here, noted = versions(), task.entry.versions
        changed = {
            package: here.get(package, "none")
            for package in DECIDING
            if package in noted and here.get(package, "none") not in noted[package].split(" and ")
        }
        if changed and not mix:
            lines = [f"{package}: {noted[package]} then, {version} now" for package, version in changed.items()]
            raise InputError(
                f"{stage} in {self.path} was begun with other versions:\n  " + "\n  ".join(lines),
                fix="Numbers may differ from those yet to come. --mix-versions goes on all the same; --fresh makes the "
                "stage anew (equal calls are not paid again).",
            )
        for package, version in changed.items():
            noted[package] += f" and {version}"

    def write(self) -> None:
        """Write the manifest as the entries are now."""
        self.check_there()
        write_manifest(self.path, self.stages)


def _calls(paid: Account) -> dict[str, int]:
    return {uri: account["calls"] for uri, account in paid.items()}
