"""What a stage counts: what became of its rows, and what its models were used for. Counts of parts add up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from evolvent.call_store.used import Used
from evolvent.records import Record

# Different words of failures that are counted apart; what comes later is counted as one.
FAILURES = 100
OTHER_FAILURES = "other failures"


@dataclass(slots=True)
class Tally:
    """What became of rows.

    Attributes:
        status: rows by status.
        groups: rows by group (a round, a teacher) and fate.
        failures: failed rows by the server's words, the first hundred different ones.
        notes: rows with something to say although they passed.
        used: what each model was used for, by URI.
    """

    status: Counter[str] = field(default_factory=Counter)
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    used: dict[str, Used] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return self.status.total()

    @property
    def empty(self) -> int:
        """Replies that stayed without text."""
        return sum(used.empty for used in self.used.values())

    def count(self, row: Record, group: str, notes: Iterable[str] = ()) -> None:
        """Count one row.

        Args:
            row: the row.
            group: what it is counted under; "" for no group of its own.
            notes: what there is to say of it.
        """
        self.status[row.status] += 1
        if group:
            fate = f"eliminated: {row.reason}" if row.status == "eliminated" else row.status
            self.groups.setdefault(group, Counter())[fate] += 1
        self.notes.update(notes)
        if row.status == "failed":
            self._fail(row.reason or "no reason given", 1)

    def use(self, used: dict[str, Used]) -> None:
        """Add what a record took from its models."""
        for uri, taken in used.items():
            self.used.setdefault(uri, Used()).add(taken)

    def add(self, other: "Tally") -> None:
        """Add the counts of other rows."""
        self.status.update(other.status)
        self.notes.update(other.notes)
        for group, fates in other.groups.items():
            self.groups.setdefault(group, Counter()).update(fates)
        for words, rows in other.failures.items():
            self._fail(words, rows)
        self.use(other.used)

    def _fail(self, words: str, rows: int) -> None:
        self.failures[words if words in self.failures or len(self.failures) < FAILURES else OTHER_FAILURES] += rows

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The tally that was written as JSON."""
        return cls(
            Counter(content["status"]),
            {group: Counter(fates) for group, fates in content["groups"].items()},
            Counter(content["failures"]),
            Counter(content["notes"]),
            {uri: Used(**used) for uri, used in content["used"].items()},
        )

    def summary(self) -> dict[str, Any]:
        """The counts as the manifest holds them, commonest failures first."""
        found: dict[str, Any] = {status: self.status[status] for status in ("ok", "eliminated", "failed")}
        found["groups"] = {group: dict(sorted(fates.items())) for group, fates in self.groups.items()}
        tokens = sum(used.completion_tokens for used in self.used.values())
        if tokens:
            thrown_away = sum(used.thrown_away for used in self.used.values())
            found["tokens"] = {"out": tokens, "thrown away": thrown_away}
        if self.notes:
            found["notes"] = dict(self.notes.most_common())
        if self.failures:
            found["failures"] = dict(self.failures.most_common(5))
        return found

    def used_json(self) -> dict[str, dict[str, Any]]:
        """What each model was used for, as the manifest holds it."""
        return {uri: asdict(used) for uri, used in self.used.items()}
