"""The rows of a trial: as many for each, the same where they answer the same, some that no student sees."""

from evolvent.ranking import trial_rows as module
from evolvent.ranking.trial_rows import trial_rows
from evolvent.records import Record


def answers(name: str, numbers: range) -> list[Record]:
    return [Record(f"{n}", f"{n}", n, f"Mend sock {n}", output=f"{name} says {n}") for n in numbers]


def test_candidates_that_answer_the_same_are_trained_on_the_same() -> None:
    found = trial_rows({name: answers(name, range(100)) for name in "ab"}, {}, 60, 0)
    asked = {name: [row.instruction for row in rows] for name, rows in found.trained.items()}
    assert asked["a"] == asked["b"] and len(set(asked["a"])) == 60
    assert len(found.held_out) == len(found.units) == 40 and len(set(found.units)) == 20
    assert not {row.instruction for row in found.held_out} & set(asked["a"])
    assert {row.output.split()[0] for row in found.held_out} == {"a", "b"}
    assert trial_rows({"a": answers("a", range(100))}, {}, 60, 0).trained["a"] == found.trained["a"]
    assert trial_rows({"a": answers("a", range(100))}, {}, 60, 1).trained["a"] != found.trained["a"]


def test_as_many_for_each_and_none_for_one_that_has_too_few() -> None:
    given = {"a": answers("a", range(100)), "b": answers("b", range(70)), "c": answers("c", range(10))}
    found = trial_rows(given, {}, 200, 0)
    assert set(found.trained) == {"a", "b"} and len({len(rows) for rows in found.trained.values()}) == 1
    assert "rows to train on, a trial takes 20 at the least" in found.lacking["c"]
    assert {row.output[0] for row in found.held_out} == {"a", "b"}


def test_rows_of_one_seed_are_held_out_together() -> None:
    """Two questions a seed, as a run of two rounds has them."""
    seeds = {f"Mend sock {n}": f"seed {n // 2}" for n in range(100)}
    found = trial_rows({"a": answers("a", range(100))}, seeds, 200, 0)
    trained = {seeds[row.question] for row in found.trained["a"]}
    assert not trained & {seeds[row.question] for row in found.held_out}
    assert len(found.trained["a"]) == 80 and len(set(found.units)) == 10


def test_no_more_is_held_out_than_says_enough() -> None:
    found = trial_rows({"a": answers("a", range(1_000))}, {}, 20, 0)
    assert len(found.held_out) == module.MOST_HELD_OUT
