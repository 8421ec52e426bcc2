"""When a stage is stopped because nothing of it succeeds, and what is said of it then."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from evolvent.call_store.ask import THINKING
from evolvent.call_store.used import Used
from evolvent.errors import RunError
from evolvent.records import Record
from evolvent.runs.tally import Tally

# When the first so many records all failed, what is wrong is not the records.
ALL_FAILED = 20
EMPTY = "the server's reply holds no text"
THOUGHT = {f"{EMPTY}: {reason}": mending for reason, mending in THINKING.items()}


class Failing:
    """Stops a stage of which everything fails, or comes back empty: the first records of all, or of one teacher.

    Args:
        stage: its name.
        run: its run folder.
        any_before: whether earlier commands had any success.
    """

    def __init__(self, stage: str, run: Path, *, any_before: bool) -> None:
        self._stage = stage
        self._run = run
        self._failed: dict[str | None, list[str]] = {}
        self._worked: set[str | None] = set()
        self._any_before = any_before

    def check(self, rows: Sequence[Record], used: Mapping[str, Used]) -> None:
        """Note what became of one record.

        Args:
            rows: its rows.
            used: what it took from its models.

        Raises:
            RunError: the first ``ALL_FAILED`` records to end, of all or of one teacher, have failed or come back empty.
        """
        if self._any_before:
            return
        for teacher in {row.teacher for row in rows} - self._worked:
            tally = Tally(used={uri: one for uri, one in used.items() if teacher in (None, uri)})
            for row in rows:
                if row.teacher == teacher:
                    tally.count(row, self._stage)
            words = why_in_vain(tally)
            if words is None:
                self._worked.add(teacher)
            else:
                failed = self._failed.setdefault(teacher, [])
                failed.append(words)
                if len(failed) == ALL_FAILED:
                    which = f"{self._stage} by {teacher}" if teacher else self._stage
                    raise all_failed(which, self._run, ALL_FAILED, failed[0])


def why_in_vain(tally: Tally) -> str | None:
    """Why there is nothing good about rows: the first one's words if all failed, EMPTY if no reply held text.

    Where one of these replies is reasoning, THOUGHT's words for the commonest kind of it.
    """
    if tally.rows == tally.status["failed"]:
        return next(iter(tally.failures))
    replies = sum(used.calls - used.unusable for used in tally.used.values())
    if not replies or replies != tally.empty:
        return None
    fates = sum(tally.groups.values(), Counter[str]())
    reason = max(THINKING, key=lambda reason: fates[f"eliminated: {reason}"])
    return f"{EMPTY}: {reason}" if fates[f"eliminated: {reason}"] else EMPTY


def in_vain(tally: Tally) -> str | None:
    """Why rows are not kept, as ``why_in_vain`` has it; a few that only thought are no fault of the server's."""
    words = why_in_vain(tally) if tally.rows else None
    return None if words in THOUGHT and tally.rows < ALL_FAILED else words


def all_failed(which: str, run: Path, records: int, words: str) -> RunError:
    """What to say where every record failed, or came back empty, in these words."""
    fix = "Mend the cause and start the same command again."
    if words in THOUGHT:
        mending = THOUGHT[words]
        fix = f"{mending[0].upper()}{mending[1:]}. After a change at the server add --retry-empty to the same command."
    if words == EMPTY:
        fix = (
            f"See what the server sends: evolvent calls {run}. Reasoning that takes up all of --max-tokens, a wrong "
            "chat template or a broken server do this. Mend it, then start the same command with --retry-empty."
        )
    return RunError(f"every record of {which} failed, {records:,} so far; the first: {words}", fix=fix)
