import pytest

from evolvent.sandbox.batches import batches, size_of
from evolvent.sandbox.limits import Limits
from evolvent.sandbox.sandbox import GIVEN_UP, GIVEN_UP_ENDED, TIME_LIMIT, TOO_LARGE
from evolvent.sandbox.verdicts import Verdict
from tests.sandbox.test_sandbox import evaluations
from tests.sandbox.wall import needs_wall

MIB = 1 << 20
SEVEN = "def evaluate(response):\n    return response.endswith('7')"


def test_cuts_are_by_bytes_and_in_order() -> None:
    assert list(batches(["aaaa", "bbbb", "c", "d" * 9, "", "e"], memory=8 * 16)) == [
        ["aaaa", "bbbb"],
        ["c"],
        ["d" * 9],
        ["", "e"],
    ]
    assert list(batches([], memory=128)) == [[]]


def test_size_is_the_most_that_python_takes() -> None:
    assert [size_of(text) for text in ("", "abc", "abé", "😀")] == [0, 3, 12, 4]


@needs_wall
def test_many_large_responses_have_verdicts() -> None:
    """Together they are larger than the memory of a function."""
    responses = [f"{'x' * 39_000}{n}" for n in range(2_000)]
    [found] = evaluations([SEVEN], responses, Limits(seconds=20, memory=64 * MIB))
    assert [verdict.value for verdict in found.verdicts] == [n % 10 == 7 for n in range(2_000)]


@needs_wall
def test_a_response_that_is_too_large_costs_its_own_verdict_only() -> None:
    responses = ["7", "x" * (50 * MIB) + "7", "x" * (30 * MIB) + "7", "x7"]
    found, other = evaluations([SEVEN, "1 / 0"], responses, Limits(seconds=20, memory=96 * MIB))
    assert found.verdicts == (Verdict(True), Verdict(None, TOO_LARGE), Verdict(True), Verdict(True))
    assert other.verdicts == (Verdict(None, "ZeroDivisionError: division by zero"),) * 4
    [found] = evaluations(["1 / 0"], responses[1:2], Limits(seconds=20, memory=96 * MIB))
    assert found.problem == "ZeroDivisionError: division by zero"


@needs_wall
@pytest.mark.parametrize(
    ("body", "stop", "given_up"),
    [
        ("while response != 'end': pass", TIME_LIMIT, GIVEN_UP),
        ("response == 'end' or __import__('os')._exit(0)", "exited with status 0", GIVEN_UP_ENDED),
    ],
)
def test_giving_up_and_verdicts_are_the_same_however_it_is_cut(
    body: str, stop: str, given_up: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"def evaluate(response):\n    {body}\n    return True"
    responses = ["end", "a", "b", "end", "c", "end", "d"]
    expected = [None, stop, stop, None, stop, given_up, given_up]
    for cut in (1, 20 * MIB):  # each response for itself; all at once
        monkeypatch.setattr("evolvent.sandbox.batches.BATCH", 256 * MIB // cut)
        found, honest = evaluations(
            [source, "def evaluate(r): return r == 'end'"], responses, Limits(seconds=0.5, memory=256 * MIB)
        )
        assert [verdict.reason for verdict in found.verdicts] == expected
        assert [verdict.value for verdict in honest.verdicts] == [text == "end" for text in responses]
