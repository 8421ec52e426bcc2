"""A search as a table, and which of its calls failed."""

from collections import Counter

from evolvent.evolution.auto_evol_instruct.failure_rate import Evaluation
from evolvent.evolution.auto_evol_instruct.history import described
from evolvent.evolution.auto_evol_instruct.method import Method, initial_method
from evolvent.evolution.auto_evol_instruct.proposal import Candidate
from evolvent.evolution.auto_evol_instruct.search import Found, Step, Tried
from evolvent.report.method_search import failed_calls, steps_table
from tests.evolution.auto_evol_instruct.scripted_search import method


def evaluation(failed: int, reasons: Counter[str] | None = None) -> Evaluation:
    return Evaluation(Counter(stagnant=failed, answered=10 - failed), reasons or Counter(), "default")


def found(candidates: list[Tried], current: Method) -> Found:
    step = Step(1, [], Counter(ok=3), candidates, chosen=1)
    return Found(initial_method(), evaluation(3), {}, current, evaluation(2), [step], "done")


def test_the_steps_as_a_table() -> None:
    current = Method(method(4))
    candidates = [
        Tried(Candidate(1, "f", current.text, current), None, evaluation(2)),
        Tried(Candidate(2, "f", "x", None, "it is empty")),
        Tried(Candidate(3, "f", current.text, current), "candidate 1"),
        Tried(Candidate(4, "f", current.text, current, "none of the dev set came to an answer"), None, evaluation(0)),
    ]
    table = steps_table(described(found(candidates, current), {}))
    assert table.rows == [
        ("0", "", "", "", "0.300 (0.108 to 0.603)", "the initial method"),
        ("1", "4", "2", "1", "0.200 (0.057 to 0.510)", "candidate 1"),
    ]
    assert table.notes == (
        "stopped: done",
        f"method: version {current.version}, by step 1, candidate 1, failure rate 0.200 (0.057 to 0.510)",
    )


def test_which_calls_failed() -> None:
    current = Method(method(4))
    lost = evaluation(2, Counter({"call failed: time-out": 2, "unparsed": 1}))
    candidates = [Tried(Candidate(1, "f", current.text, current), None, lost)]
    candidates += [Tried(Candidate(n, problem="its calls failed: no")) for n in range(2, 8)]
    assert failed_calls(described(found(candidates, current), {})) == (
        "calls failed for good, 2 rows of evaluations lack one: step 1, candidate 1 (2 of the dev set's rows), "
        + ", ".join(f"step 1, candidate {n} (it was not proposed)" for n in range(2, 6))
        + " and 2 more"
    )
    assert failed_calls(described(found([], current), {})) is None
