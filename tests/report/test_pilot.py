"""A pilot as it is told: the examples that are chosen, and the projection where something is not known."""

import pytest

from evolvent.call_store.used import Used
from evolvent.records import Record
from evolvent.report.pilot import examples, projection
from evolvent.runs.sampled import Expected, Trial

SEED = Record("s", "s", 0, "Mend a sock")


def trial(statuses: str, expected: Expected, speed: float | None) -> Trial:
    rows = [SEED]
    for round, letter in enumerate(statuses, 1):
        status, reason = ("ok", None) if letter == "o" else ("eliminated", "leak\x1b[2J")
        rows.append(Record(f"s/r{round}", "s", 0, f"{letter}{round}", parent_id="s", round=round, operator="breadth"))
        rows[-1].status, rows[-1].reason = status, reason  # type: ignore[assignment]
    ok = statuses.count("o")
    counts = {"ok": ok, "eliminated": len(statuses) - ok, "failed": 0}
    return Trial(counts, tuple(rows), (), {"openai:m": Used(2, 10, 30)}, speed, expected)


NOTHING_KNOWN = Expected(20, 100, 300, None, None)


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [("oooo", "o1 o2 o3"), ("ooooe", "o1 o2 e5"), ("eeeeo", "o5 e1 e2"), ("eeee", "e1 e2 e3"), ("o", "o1")],
)
def test_two_usable_ones_and_one_other_where_there_are(statuses: str, shown: str) -> None:
    lines = list(examples(trial(statuses, NOTHING_KNOWN, None)))
    assert [line.split("→ ")[1] for line in lines if "→" in line] == shown.split()
    assert set(lines[1::3]) == {"    Mend a sock"}
    assert "e" not in statuses or "[eliminated: leak\\x1b[2J]" in "".join(lines)


def test_what_is_not_known_stays_empty_and_is_explained() -> None:
    known = trial("oo", Expected(20, 100, 300, 0.5, 90.0), 3.4)
    table = projection(20, "seeds", {"default": trial("ee", NOTHING_KNOWN, None), "small": known})
    cells = {name: tuple(rest) for name, *rest in table.rows}
    assert table.columns == ("", "default", "small") and "cost" not in cells
    assert cells["usable"] == ("0%", "100%")
    assert cells["tokens out a usable row"] == ("", "15")
    assert (cells["tokens out a second"], cells["time"]) == (("", "3"), ("", "~90 s"))
    assert table.notes[1:] == ("default: no speed and no time, as all its calls were stored before",)
    priced = projection(20, "seeds", {"small": known})
    assert priced.rows[-1] == ("cost", "~0.50")
