from evolvent.records import Record
from evolvent.report.demo import SHOWN, chains, funnel


def seed(number: int) -> Record:
    return Record(f"s{number}", f"s{number}", number, f"Seed {number}.")


def evolution(number: int, reason: str | None = None) -> Record:
    status = "eliminated" if reason else "ok"
    return Record(
        f"s{number}/r1", f"s{number}", number, f"Evolution {number}.", round=1, operator="deepening",
        evolver="embedded", status=status, reason=reason,
    )  # fmt: skip


def scored(number: int, ic_ifd: float | None, reason: str = "stop") -> Record:
    record = evolution(number)
    record.teacher, record.output, record.finish_reason = "smollm2", "An answer.", reason
    record.scores = {"ifd": 0.5, "ic_ifd": ic_ifd}
    return record


EVOLVED = [row for n in range(4) for row in (seed(n), evolution(n))]
SCORED = [scored(0, 0.4), scored(1, 0.9), scored(2, 0.1), scored(3, 0.5, "length")]


def test_the_funnel_counts_every_row_with_its_reason() -> None:
    rows = dict(funnel([*EVOLVED, seed(4), evolution(4, "answered")], SCORED, 1).rows)
    assert rows == {
        "seeds": "5",
        "evolved: ok": "4",
        "evolved: eliminated: answered": "1",
        "answered and scored: ok": "3",
        "answered and scored: ok, but the answer is cut (length)": "1",
        "selected": "1",
    }
    assert dict(funnel(EVOLVED, SCORED, 1).rows)["evolved: eliminated"] == "0"


def test_three_chains_the_best_the_worst_and_one_that_was_left_out() -> None:
    best, worst, cut = chains(EVOLVED, SCORED, {"s1/r1"})
    assert best.columns == ("seed", "Seed 1.") and ("selected", "yes") in best.rows
    assert worst.columns == ("seed", "Seed 2.") and ("scores", "ifd 0.500, ic_ifd 0.100") in worst.rows
    assert ("selected", "no; the answer is cut (length)") in cut.rows
    *_, eliminated = chains([*EVOLVED, seed(4), evolution(4, "answered")], SCORED, {"s1/r1"})
    assert ("verdict", "deepening: eliminated, answered") in eliminated.rows
    assert all(not what.startswith("answered by") for what, _ in eliminated.rows)


def test_a_score_that_does_not_exist_is_no_best_or_worst_and_long_texts_are_cut() -> None:
    long = scored(1, 0.9)
    long.output = "word " * SHOWN
    tables = list(chains(EVOLVED, [scored(0, None), long], {"s1/r1"}))
    assert {table.columns[1] for table in tables} == {"Seed 1."}
    assert all(len(text) <= SHOWN + 2 for table in tables for _, text in table.rows)
