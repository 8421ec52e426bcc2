"""The loss of a training, step by step."""

from collections.abc import Iterator

from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.source import Source, Sources
from evolvent.stages import file_of
from evolvent.training.loss_curve import in_bins
from evolvent.training.note import NOTE, read_note

# Steps of a long training are drawn as the means of so many stretches.
POINTS = 300


def figures(sources: Sources) -> Iterator[Figure]:
    """The losses of all students."""
    curves = {student: curve for run in sources.runs for student, curve in students(run)}
    values = [
        {"student": student, "step": last, "loss": rounded(loss)}
        for student, curve in curves.items()
        for _, last, loss in in_bins(curve, POINTS)
    ]
    if not values:
        return
    spec = plot(
        values,
        {"mark": {"type": "line", "strokeWidth": 1.5}},
        x=number("step", "step"),
        y=number("loss", "loss, nat/token"),
        color=name("student", legend={} if len(curves) > 1 else None),
        tooltip=tips("student", "step", "loss"),
    )
    yield Figure("loss", "Training loss", "The loss of each step, as the trainer has logged it.", spec)


def students(run: Source) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """A run's students, each with its curve of losses."""
    for key in run.entries:
        folder = run.folder / file_of(key) if key.partition(":")[0] == "train" else None
        if folder is not None and (folder / NOTE).is_file() and (note := read_note(folder)) and note.get("loss"):
            yield f"{run.name}/{folder.name}", [(int(at), float(loss)) for at, loss in note["loss"]]
