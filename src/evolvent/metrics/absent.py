"""Metrics that came to nothing: no row has a value of them, so that the command that asked for them has failed."""

from collections.abc import Iterable, Mapping
from typing import Any

from evolvent.errors import RunError
from evolvent.metrics.all_metrics import METRICS
from evolvent.runs.record_files import filled_columns
from evolvent.runs.run import Run

NOTE = "without a score: "


class NoScoresError(RunError):
    """A metric has no value in any row; the file is written, and the others' scores are in it."""


def check_scored(run: Run, metrics: Iterable[str], columns: Mapping[str, str]) -> None:
    """Check that each metric that was asked for has a value in some row.

    Args:
        run: the finished stage.
        metrics: the metrics' names.
        columns: by the plain name of a column, the one that was made of it.

    Raises:
        NoScoresError: one has none.
    """
    there = filled_columns(run.output)
    absent = [name for name in metrics if columns.get(name) not in there]  # a metric's first column has its name
    if not absent:
        return
    why = "; ".join(f"{name}: {_reason(name, run.counts)}" for name in absent)
    others = [name for name in metrics if name not in absent]
    kept = f"{' and '.join(others)} are in {run.output}. " if others else ""
    raise NoScoresError(
        f"score: no row has a value of {' and '.join(absent)} ({why})",
        fix=f"{kept}Mend the cause and start the same command with --fresh: no stored reply is paid for twice.",
    )


def _reason(metric: str, counts: Mapping[str, Any]) -> str:
    """The commonest reason why rows lack a metric."""
    notes = {note.removeprefix(NOTE): n for note, n in counts.get("notes", {}).items() if note.startswith(NOTE)}
    named = {why.removeprefix(f"{metric}: "): n for why, n in notes.items() if why.startswith(f"{metric}: ")}
    of_losses = {why: n for why, n in notes.items() if why.partition(": ")[0] not in METRICS}
    found = named or (of_losses if "losses" in METRICS[metric].needs else {})
    return max(found, key=lambda why: found[why]) if found else "its rows say why, in score_reason"
