"""train: a student made of a base model and instruction data, a folder that ``hf:`` loads at once."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evolvent.errors import EvolventError, InputError, RunError, require_extra
from evolvent.files import LOCK, locate
from evolvent.hub import without_telemetry
from evolvent.options import Reading, implements
from evolvent.runs.inputs import Data
from evolvent.runs.lock import FolderLock
from evolvent.runs.manifest import now
from evolvent.runs.progress import say
from evolvent.storage_errors import FULL
from evolvent.training.base_model import Base, find_base
from evolvent.training.checkpoints import FOLDER, last_checkpoint, remove_torn
from evolvent.training.entry import enter
from evolvent.training.layers import check_layers
from evolvent.training.loss_curve import Curve, loss_curve
from evolvent.training.machine import is_first, on_this_machine
from evolvent.training.note import NOTE, differences, read_note, used_versions, write_note
from evolvent.training.options import TRAIN, Training
from evolvent.training.order import steps_of
from evolvent.training.plan import Plan
from evolvent.training.preflight import Preflight, prepare
from evolvent.training.rows import Examples, open_examples
from evolvent.training.settings import Lora, Settings, as_noted, settings_of
from evolvent.training.student import put_in_place, write_student
from evolvent.training_presets import DEFAULT

log = logging.getLogger(__name__)

# What libraries say, in errors of no class of their own, where a disk is full.
NO_SPACE = ("No space left", "file write failed", "unexpected pos", "Disk quota exceeded", "File too large")


class AnotherTrainingError(InputError):
    """A folder holds a student of other data or settings."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Attributes:
        path: the student's folder.
        counts: rows, tokens and steps.
        loss: the loss curve: (step, loss); empty after a dry run.
        preflight: what the rows were found to be.
        seconds: how long it took, earlier commands included.
        tokens_per_second: tokens with loss, by this command's steps but the first; None if it made no other.
        already_done: whether the very same student was there already.
    """

    path: Path
    counts: dict[str, Any]
    loss: Curve = field(default_factory=list)
    preflight: Preflight | None = None
    seconds: float = 0.0
    tokens_per_second: float | None = None
    already_done: bool = False


@implements(TRAIN)
def train(data: Data, given: Training, reading: Reading) -> Trained:
    """Train a student on the answers of instruction data, and write it to a folder.

    Loss is on the answers only, with the token that ends each. A training that was stopped goes on from its last
    checkpoint.

    Returns:
        The folder, the counts and the loss curve. A dry run returns what the preflight found.

    Raises:
        InputError: wrong options, data that cannot teach anything, or a folder that holds another training.
        RunError: the disk is full, or the loss is no number any more.
    """
    settings, lora = settings_of(given.method, given.preset, given.lora, given.set)
    _check_installed(given.report_to)
    _quieten()
    out, _ = locate(given.out, "written")
    examples = open_examples(data, given.method, reading)
    base = _found_base(given, out)
    how = _how(given, base, reading.limit, as_noted(settings, lora, given.method))
    before = _earlier(out, how, examples.source.about["digest"], fresh=given.fresh)
    if before is not None and _is_done(out, before):
        return _as_it_is(out, before, examples)
    plan = _planned(given, base, examples, settings, lora, out)
    found = plan.prepared.found
    if given.dry_run:
        return Trained(out, found.counts(), preflight=found)
    tell: Callable[[str], object] = say if given.progress is not False and is_first() else _nothing
    for line in found.lines():
        tell(f"train: {line}")
    with _held(out):
        if is_first():  # meanwhile another process may have trained here
            before = _earlier(out, how, examples.source.about["digest"], fresh=given.fresh)
            if before is None:
                _clear(out)
            elif _is_done(out, before):
                return _as_it_is(out, before, examples)
        done = _trained(plan, _first_note(given, how, examples, before), tell)
        if is_first():
            enter(out, how, examples.source.about, done.counts, done.seconds)
    return done


def _check_installed(trackers: tuple[str, ...]) -> None:
    """Check that what trains is installed, and what steps are reported to.

    Raises:
        InputError: something is not.
    """
    for package in ("torch", "transformers", "datasets", "peft", "trl"):
        require_extra(package, "train")
    for name in trackers:
        if find_spec(name) is None:
            raise InputError(f"{name} is not installed", fix=f"Install it with: pip install {name}")


def _found_base(given: Training, out: Path) -> Base:
    """The base model.

    Raises:
        InputError: it cannot be trained, or lies where the student is to be.
    """
    base = find_base(given.base_model, given.chat_template)
    if (out / "config.json").exists() and out.resolve() == Path(base.place["pretrained_model_name_or_path"]).resolve():
        raise InputError(f"--out {out} is the base model itself", fix="Choose another name.")
    return base


def _how(given: Training, base: Base, limit: int | None, settings: dict[str, Any]) -> dict[str, Any]:
    """What decides a student, besides its rows."""
    return {
        "method": given.method,
        "base_model": base.uri,
        "weights": base.mark,
        "chat_template": base.tokenizer.chat_template,
        "seed": given.seed,
        "limit": limit,
        **settings,
    }


def _planned(given: Training, base: Base, examples: Examples, settings: Settings, lora: Lora | None, out: Path) -> Plan:
    """A training of which all is known: its rows are read and counted, errors of settings raised."""
    here = on_this_machine(settings)
    check_layers(base, here.attn_implementation or "sdpa", lora)
    prepared = prepare(examples, base.tokenizer, settings, base.context, examples.left_out)
    prepared.found.notes |= examples.notes
    return Plan(
        method=given.method,
        base=base,
        prepared=prepared,
        settings=here,
        lora=lora,
        seed=given.seed,
        out=out,
        report_to=given.report_to,
    )


def _first_note(
    given: Training, how: dict[str, Any], examples: Examples, before: dict[str, Any] | None
) -> dict[str, Any]:
    """What there is to note of a training as it begins, or goes on."""
    note: dict[str, Any] = {"state": "running", "how": how, "input": examples.source.about}
    note |= {"preset": given.preset or DEFAULT[given.method], "named_template": given.chat_template}
    note |= {"started": now(), "seconds": 0.0, "files": []}
    note |= {name: before[name] for name in ("started", "seconds", "files") if before and name in before}
    return note | {"versions": used_versions()}


def _trained(plan: Plan, note: dict[str, Any], tell: Callable[[str], object]) -> Trained:
    """Train, or go on, and write the student; ``note`` is what there is to note of it before."""
    out, found, began = plan.out, plan.prepared.found, time.monotonic() - float(note["seconds"])

    def seconds() -> float:
        return round(time.monotonic() - began, 1)

    if is_first():
        write_note(out, note)
    try:
        with _disk_explained(out):
            trainer, steps = _trainer(plan, tell)
            if is_first():
                remove_torn(plan.checkpoints)
            trainer.accelerator.wait_for_everyone()
            resumed = last_checkpoint(plan.checkpoints)
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
            trainer.accelerator.wait_for_everyone()
    finally:
        if is_first():
            with suppress(EvolventError):
                write_note(out, note | {"seconds": seconds()})
    curve, pace = loss_curve(trainer.state.log_history), steps.tokens_per_second()
    del trainer
    if is_first():
        with _disk_explained(out):
            note["files"] = _write_student(plan, note)
            shutil.rmtree(plan.checkpoints)
        machine = as_noted(plan.settings, plan.lora, plan.method)
        note |= {"state": "done", "machine": machine, "counts": found.counts(), "loss": curve}
        note |= {"seconds": seconds(), "tokens_with_loss_per_second": pace and round(pace, 1), "finished": now()}
        write_note(out, note)
        (out / LOCK).unlink(missing_ok=True)
    return Trained(out, found.counts(), curve, found, seconds(), pace)


def _trainer(plan: Plan, tell: Callable[[str], object]) -> tuple[Any, Any]:
    """TRL's trainer, and what is told of its steps."""
    from transformers.trainer_callback import PrinterCallback

    from evolvent.training.dpo import dpo_trainer
    from evolvent.training.sft import sft_trainer
    from evolvent.training.steps import Steps

    found = plan.prepared.found
    steps = Steps(tell, found.loss_tokens / steps_of(found.rows, 1, found.batch_size))
    trainer = (dpo_trainer if plan.method == "dpo" else sft_trainer)(plan, steps)
    trainer.remove_callback(PrinterCallback)
    return trainer, steps


def _write_student(plan: Plan, note: dict[str, Any]) -> list[str]:
    """Write the student, its files' names noted before they are in the folder: what is noted is ours to remove."""
    checkpoint = last_checkpoint(plan.checkpoints)
    if checkpoint is None:
        raise RunError(f"{plan.checkpoints} went away while it was being used", fix="Start the same command again.")
    made = plan.checkpoints / "student"
    write_student(plan.base, plan.prepared.end or 0, checkpoint, made, is_adapter=plan.lora is not None)
    files = sorted({*note["files"], *(path.name for path in made.iterdir())})
    write_note(plan.out, note | {"files": files})
    put_in_place(made, plan.out)
    return files


def _nothing(_: str) -> None:
    """Says nothing."""


def _earlier(out: Path, how: dict[str, Any], digest: str, *, fresh: bool) -> dict[str, Any] | None:
    """The note of the same training that a folder holds; None if there is none, or it is to begin anew.

    Raises:
        InputError: the folder holds another training, or what no training wrote.
    """
    note = read_note(out)
    if note is None:
        return None
    if fresh:
        return None
    if found := differences(note, how, digest):
        raise AnotherTrainingError(
            f"{out} holds another training:\n  " + "\n  ".join(found),
            fix="Use another --out, or --fresh to begin anew.",
        )
    return note


def _is_done(out: Path, note: dict[str, Any]) -> bool:
    return note["state"] == "done" and (out / "config.json").is_file() and any(out.glob("*.safetensors"))


def _as_it_is(out: Path, note: dict[str, Any], examples: Examples) -> Trained:
    """A student that is there already."""
    enter(out, note["how"], examples.source.about, note["counts"], note.get("seconds", 0.0), again=True)
    return Trained(out, note["counts"], [tuple(one) for one in note["loss"]], already_done=True)


def _clear(out: Path) -> None:
    """Remove what an earlier training wrote. What else lies there is the user's."""
    ours = {FOLDER, *(read_note(out) or {}).get("files", ())}
    for path in out.iterdir():
        if path.name not in ours:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """The student's folder, made if need be, held by this process alone; of several that train together by the first.

    Raises:
        InputError: another process trains into it.
    """
    if not is_first():
        yield
        return
    lock = FolderLock(out)
    lock.take()
    try:
        yield
    finally:
        lock.give_up() if (out / NOTE).exists() else lock.undo()


@contextmanager
def _disk_explained(out: Path) -> Iterator[None]:
    """While libraries write: a full disk in our words.

    Raises:
        RunError: the disk is full.
    """
    try:
        yield
    except EvolventError:
        raise
    except Exception as error:  # safetensors, torch and Python each have their own
        full = isinstance(error, OSError) and error.errno in FULL
        if full or any(words in str(error) for words in NO_SPACE):
            raise RunError(
                f"no space is left to write {out}",
                fix="Free some space (a checkpoint takes up to 12 bytes a weight, and two are kept) and start the same "
                "command again: it goes on from the last whole checkpoint.",
            ) from error
        raise


def _quieten() -> None:
    """TRL, transformers and datasets say nothing but errors: what there is to say we say."""
    without_telemetry()
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    import warnings

    import datasets
    from transformers.utils import logging as of_transformers

    of_transformers.set_verbosity_error()  # type: ignore[no-untyped-call]
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(trl|transformers|torch|peft|accelerate)\.")
