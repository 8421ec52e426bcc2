"""What made the scores of runs: those of two judges, base models or settings are no one scale."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evolvent.metrics.all_metrics import METRICS
from evolvent.metrics.score import BY
from evolvent.models.short_names import short_names
from evolvent.report.page.source import Source
from evolvent.runs.manifest import StageEntry
from evolvent.runs.record_files import score_columns


class Maker(NamedTuple):
    """What made a column of scores: models and settings in the words of the manifest, and the models' weights."""

    words: str
    weights: tuple[str, ...]

    @property
    def model(self) -> str:
        """Its first model: of losses the base model."""
        return self.words.partition(", ")[0]


def makers(entry: StageEntry) -> dict[str, Maker]:
    """By the name of each column that a score stage has made, what made it."""
    found: dict[str, Maker] = {}
    for key, names in entry.settings.items():
        if not key.startswith(BY):
            continue
        words = key.removeprefix(BY)
        maker = Maker(words, tuple(entry.models[word] for word in words.split(", ") if word in entry.models))
        for name in names:
            plain, _, of = name.partition("@")
            if plain in METRICS:  # an earlier version may have had others
                found |= {column.name + (of and f"@{of}"): maker for column in METRICS[plain].columns}
    return found


def of_most(made: Iterable[Iterable[Maker]]) -> Maker | None:
    """What made a score of most runs, the first such; None if nothing made it."""
    return next((maker for maker, _ in Counter(maker for of in made for maker in of).most_common(1)), None)


def on_one_scale(runs: Sequence[Source], score: str) -> tuple[dict[str, str], str]:
    """The columns of a score of answers that can be drawn on one axis.

    Returns:
        By run the column, of those that one maker made; and for a caption who that is, and whose are left out.
    """
    made: dict[str, dict[Maker, str]] = {}
    for run in runs:
        if run.answers is None:
            continue
        known = makers(run.entries["score"]) if run.answers == run.records("score") else {}
        for column in score_columns(run.answers):
            if column.partition("@")[0] == score:  # in data that came with scores nobody says who made them
                made.setdefault(run.name, {}).setdefault(known.get(column, NOT_OURS), column)
    maker = of_most(made.values())
    others = [name for name, of in made.items() if maker not in of]
    note = f" Scored by {short_names([maker.model])[0][maker.model]}." if maker and maker.words else ""
    if others:
        note += f" Not drawn, since other models or settings made its scores: {', '.join(others)}."
    return {name: of[maker] for name, of in made.items() if maker in of}, note


NOT_OURS = Maker("", ())
