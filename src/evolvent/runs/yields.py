"""The yield of a stage: how many of its rows are usable by our rules, why the others are not, and what those took."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evolvent.models.short_names import short_names

ELIMINATED = "eliminated: "
UNSCORED = "without a score: "


@dataclass(frozen=True, slots=True)
class Yield:
    """What came of a stage's rows.

    Attributes:
        usable: rows that are ok by our rules; of scores, those that have every one.
        rows: all that were made.
        groups: usable and all rows of each group (a round, a teacher).
        reasons: why the others are not usable, commonest first.
        tokens: completion tokens of all replies.
        thrown_away: those of replies that could not be worked with, and of those behind rows that are not usable.
    """

    usable: int
    rows: int
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    thrown_away: int = 0


def yield_of(counts: Mapping[str, Any]) -> Yield | None:
    """The yield that a stage's counts tell of; None if it made no rows."""
    rows = sum(counts.get(status, 0) for status in ("ok", "eliminated", "failed"))
    if not rows:
        return None
    reasons: Counter[str] = Counter()
    groups = {}
    for group, fates in counts.get("groups", {}).items():
        groups[group] = fates.get("ok", 0), sum(fates.values())
        reasons.update({fate.removeprefix(ELIMINATED): n for fate, n in fates.items() if fate != "ok"})
    if not groups:
        reasons.update({status: counts[status] for status in ("eliminated", "failed") if counts.get(status)})
    unscored = {note: n for note, n in counts.get("notes", {}).items() if note.startswith(UNSCORED)}
    reasons.update({note.removeprefix(UNSCORED): n for note, n in unscored.items()})
    usable = max(0, counts.get("ok", 0) - sum(unscored.values()))
    tokens = counts.get("tokens", {})
    return Yield(usable, rows, groups, dict(reasons.most_common()), tokens.get("out", 0), tokens.get("thrown away", 0))


def in_words(stage: str, found: Yield) -> str:
    """A yield as one line."""
    names, _ = short_names(found.groups)
    words = f"{stage}: {found.usable:,} of {found.rows:,} rows usable by our rules ({found.usable / found.rows:.0%})"
    parts = [", ".join(f"{names[group]} {ok:,} of {rows:,}" for group, (ok, rows) in found.groups.items())]
    parts = parts if len(found.groups) > 1 else []
    if found.reasons:
        parts.append("not usable: " + ", ".join(f"{reason} {n:,}" for reason, n in found.reasons.items()))
    if found.thrown_away:
        share = found.thrown_away / found.tokens
        tokens = f"{found.thrown_away:,} of {found.tokens:,} tokens out ({share:.0%})"
        parts.append(f"{tokens} were spent on what was thrown away")
    return "; ".join([words, *parts])
