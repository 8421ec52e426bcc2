"""A student's entry in the manifest of the run folder that it lies in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolvent.files import MANIFEST, is_as_noted
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest
from evolvent.runs.training_set import OF_PAIRS, PAIRS


def enter(
    out: Path,
    how: Mapping[str, Any],
    source: Mapping[str, Any],
    counts: Mapping[str, Any],
    seconds: float,
    *,
    again: bool = False,
) -> None:
    """Enter a student, if it lies in a run folder.

    Args:
        out: its folder.
        how: what decided it, besides its rows.
        source: where these came from.
        counts: what the preflight counted of them.
        seconds: of training.
        again: whether it was there already: then it is entered only where its entry is not as it should be.
    """
    folder, name = out.parent, f"train:{out.name}"
    if not (folder / MANIFEST).is_file():
        return
    there = read_manifest(folder).get(name)
    if again and there is not None and there.state == "done" and is_as_noted(out, there.output):
        return
    read = Path(source["source"])
    if read.parent.resolve() == folder.resolve():  # made anew, it makes the student stale
        source = {**source, "stage": OF_PAIRS if read.name == PAIRS else f"select:{read.name}"}
    with RunFolder(folder) as run:
        run.note(name, how, dict(source), _flat(counts), out, seconds)


def _flat(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Counts as a manifest holds them: numbers, and the rows left out by reason."""
    left_out = {f"left out: {reason}": count for reason, count in counts["left_out"].items()}
    rounds = {f"rows of round {n}": count for n, count in counts.get("rounds", {}).items() if n != "0"}
    named = {"rows": "rows", "truncated": "rows cut", "loss_tokens": "tokens with loss", "steps": "steps"}
    return {words: counts[name] for name, words in named.items()} | rounds | left_out
