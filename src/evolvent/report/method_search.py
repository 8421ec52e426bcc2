"""What a search for an evolving method came to: its steps as a table, and the calls that it lacks."""

from collections.abc import Mapping
from typing import Any

from evolvent.evolution.auto_evol_instruct.proposal import FAILED
from evolvent.report.tables import Table

# Places with failed calls that are named; the file has every one.
NAMED = 5


def steps_table(history: Mapping[str, Any]) -> Table:
    """The steps of a search: failure rates with their intervals, and what was chosen.

    Args:
        history: what METHOD.yaml holds (``read_history``).
    """
    rows = [("0", "", "", "", _rate(history["initial"]), "the initial method")]
    for step in history["steps"]:
        candidates = step["candidates"]
        # One that came to no answer has a rate, too (0 in the paper's profile), and is invalid.
        measured = [one for one in candidates if "failure_rate" in one and "invalid" not in one]
        best = min(measured, key=lambda one: one["failure_rate"], default=None)
        invalid, equal = (sum(key in one for one in candidates) for key in ("invalid", "same_as"))
        counts = (str(step["step"]), str(len(candidates)), str(invalid), str(equal))
        rows.append((*counts, _rate(best) if best else "", step["chosen"]))
    notes = (
        f"stopped: {history['stopped'] or 'not yet'}",
        f"method: version {history['version']}, by {history['found_by']}, failure rate {_rate(history)}",
    )
    columns = ("step", "candidates", "invalid", "equal", "lowest failure rate (95 %)", "chosen")
    return Table("optimize-method: the steps", columns, rows, notes)


def failed_calls(history: Mapping[str, Any]) -> str | None:
    """Where calls of a search failed for good, in words; None if none did.

    Args:
        history: as for ``steps_table``.
    """
    rows, places = 0, []
    measured = [("the initial method", history["initial"])]
    for step in history["steps"]:
        measured += [(f"step {step['step']}, candidate {one['candidate']}", one) for one in step["candidates"]]
    for name, one in measured:
        failed = one.get("rows_with_a_failed_call", 0)
        rows += failed
        if failed:
            places.append(f"{name} ({failed:,} of the dev set's rows)")
        elif str(one.get("invalid", "")).startswith(FAILED):
            places.append(f"{name} (it was not proposed)")
    if not places:
        return None
    named = ", ".join(places[:NAMED]) + (f" and {len(places) - NAMED:,} more" if len(places) > NAMED else "")
    return f"calls failed for good, {rows:,} rows of evaluations lack one: {named}"


def _rate(evaluation: Mapping[str, Any]) -> str:
    low, high = evaluation["interval"]
    return f"{evaluation['failure_rate']:.3f} ({low:.3f} to {high:.3f})"
