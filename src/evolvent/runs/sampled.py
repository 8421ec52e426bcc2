"""What came of a sample of a stage's records, and what all of them are expected to take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolvent.call_store.used import Asked, Used
from evolvent.records import Record


@dataclass(frozen=True, slots=True)
class Expected:
    """What all records are expected to take in one way, as far as the sample tells.

    Attributes:
        calls, prompt_tokens, completion_tokens: of all models together, replies that are asked for again included.
        cost: in the prices' currency; None if a model has no price.
        seconds: at the speed of the sample; None where that was not measured.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of the sample in one way.

    Attributes:
        counts: what became of its rows, as a run counts them.
        rows: the rows, with those of the records themselves.
        asked: what was asked for each of them, and replied, in order.
        used: what they took from each model, by URI, replies that were stored before included.
        tokens_per_second: tokens out a second; None if all replies were stored before.
        expected: what all records are expected to take.
    """

    counts: dict[str, Any]
    rows: tuple[Record, ...]
    asked: tuple[Asked, ...]
    used: dict[str, Used]
    tokens_per_second: float | None
    expected: Expected

    @property
    def share(self) -> float:
        """The usable rows of all that were made."""
        made = sum(self.counts[status] for status in ("ok", "eliminated", "failed"))
        return float(self.counts["ok"] / made) if made else 0.0

    @property
    def tokens_per_usable(self) -> float | None:
        """Tokens out for each usable row; None if there is none."""
        tokens = sum(used.completion_tokens for used in self.used.values())
        return tokens / self.counts["ok"] if self.counts["ok"] else None


@dataclass(frozen=True, slots=True)
class Preview:
    """The first records of a run, made before it.

    Attributes:
        records: how many records the whole run has.
        sampled: how many of them were made: the first ones.
        trial: what came of these, what was asked for them, and what all are expected to take.
    """

    records: int
    sampled: int
    trial: Trial


@dataclass(frozen=True, slots=True)
class Pilot:
    """What came of a pilot.

    Attributes:
        path: the run folder.
        records: how many records the whole run has.
        sampled: how many of them were tried.
        trials: what came of them in each way, by its name.
    """

    path: Path
    records: int
    sampled: int
    trials: dict[str, Trial]

    @property
    def best(self) -> str:
        """The way with the highest yield; the first of several."""
        return max(self.trials, key=lambda name: self.trials[name].share)
