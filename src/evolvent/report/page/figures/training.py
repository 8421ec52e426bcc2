"""The loss of a training, step by step."""

from collections.abc import Iterator

from evolvent.report.page.figures.figure import Figure, name, number, plot, rounded, tips
from evolvent.report.page.source import Source, Sources
from evolvent.training.loss_curve import in_bins
from evolvent.training.note import NOTE, read_note

# Steps of a long training are drawn as the means of so many stretches.
POINTS = 300


def figures(sources: Sources) -> Iterator[Figure]:
    """The losses of all students."""
    own = [(student, student, curve) for run in sources.runs for student, curve in students(run)]
    of_trials = [(run.name, str(run.folder), curve) for run in sources.students for _, curve in students(run)]
    values = [
        {"student": called, "place": place, "step": last, "loss": rounded(loss)}
        for called, place, curve in (*own, *of_trials)
        for _, last, loss in in_bins(curve, POINTS)
    ]
    if not values:
        return
    several = len({one["student"] for one in values}) > 1
    spec = plot(
        values,
        {"mark": {"type": "line", "strokeWidth": 1.5}},
        x=number("step", "step"),
        y=number("loss", "loss, nat/token"),
        color=name("student", legend={} if several else None),
        detail={"field": "place"},
        tooltip=tips("student", "step", "loss"),
    )
    caption = "The loss of each step, as the trainer has logged it."
    if of_trials:
        caption += " Of a trial each student has a line, and those of a candidate have one colour."
    yield Figure("loss", "Training loss", caption, spec)


def students(run: Source) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """The students in a run folder, each with its curve of losses."""
    for path in sorted(run.folder.glob(f"*/{NOTE}")):
        note = read_note(path.parent)
        if note and note.get("loss"):
            yield f"{run.name}/{path.parent.name}", [(int(at), float(loss)) for at, loss in note["loss"]]
