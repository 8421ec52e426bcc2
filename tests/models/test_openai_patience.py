"""Waits between the tries of one call, and when silence is spoken of; times are numbers that the tests choose."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.openai import patience as module
from evolvent.models.openai.errors import Fault, Transient
from evolvent.models.openai.patience import Availability, Patience

DAY_S = 86_400.0


def wait_s(patience: Patience, fault: Fault = Fault.BROKEN, *, now: float = 0.0, **how: Any) -> float | None:
    return patience.wait_s(
        Transient("oops", fault, after=how.pop("after", None)), now=now, **({"sent_at": now - 1} | how)
    )


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.LATE, Fault.REFUSED])
def test_six_faults_end_a_call_and_their_waits_are_bounded_exponentially(fault: Fault) -> None:
    for _ in range(200):
        patience = Patience(timeout_s=600)
        waits = [wait_s(patience, fault) for _ in range(module.MAX_FAULTS)]
        assert waits[-1] is None
        assert all(wait is not None and 0 <= wait <= 2**n for n, wait in enumerate(waits[:-1]))


def test_waits_of_refused_calls_outlast_what_a_model_is_judged_by() -> None:
    patience = Patience(timeout_s=600)
    assert sum(wait_s(patience, Fault.REFUSED) or 0.0 for _ in range(5)) >= 15.5


@given(st.floats(0.1, 500), st.integers(1, 40))
def test_retry_after_is_honoured_and_no_more_than_needed(after: float, failures: int) -> None:
    patience = Patience(timeout_s=600)
    for _ in range(failures):
        wait = wait_s(patience, Fault.LIMITED, after=after)
        assert wait is not None
        assert after <= wait <= 1.03 * after


def test_retry_after_of_nothing_is_no_hot_loop() -> None:
    patience = Patience(timeout_s=600)
    waits = [wait_s(patience, Fault.LIMITED, after=0.0) or 0.0 for _ in range(12)]
    assert max(waits) > 1


@pytest.mark.parametrize("fault", [Fault.AWAY, Fault.UNREACHABLE])
def test_server_that_answered_before_is_waited_for(fault: Fault) -> None:
    patience, now, tries = Patience(timeout_s=10), 0.0, 0
    while (wait := wait_s(patience, fault, now=now, last_answered=-1.0)) is not None:
        assert wait <= module.LONGEST_AWAY_WAIT_S
        now += wait + 0.01
        tries += 1
    assert module.AWAY_S <= now <= module.AWAY_S + 6
    assert tries < 200
    assert patience.gone is (fault is Fault.UNREACHABLE)


def test_no_connection_to_a_server_that_answers_others_ends_this_call_alone_and_late() -> None:
    patience, now = Patience(timeout_s=10), 0.0
    while (wait := wait_s(patience, Fault.UNREACHABLE, now=now, last_answered=now - 1)) is not None:
        now += wait + 0.01
    assert now > module.PATIENCE_S - 6
    assert not patience.gone


def test_a_request_that_takes_the_server_down_is_not_sent_for_longer_because_others_are_answered() -> None:
    patience, now = Patience(timeout_s=10), 0.0
    while (wait := wait_s(patience, Fault.AWAY, now=now, last_answered=now - 1)) is not None:
        now += wait + 0.01
    assert module.AWAY_S <= now <= module.AWAY_S + 6


def test_faults_count_anew_after_an_outage() -> None:
    patience = Patience(timeout_s=600)
    for _ in range(20):
        assert wait_s(patience, Fault.UNREACHABLE, last_answered=0.0) is not None
    assert wait_s(patience, last_answered=0.0) is not None


def test_waits_of_calls_that_failed_together_are_spread() -> None:
    assert len({wait_s(Patience(timeout_s=600), after=1.0) for _ in range(100)}) == 100


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(10, 900), (600, 1260)])
def test_patience_is_fifteen_minutes_or_two_time_outs(timeout_s: float, patience_s: float) -> None:
    patience = Patience(timeout_s)
    assert wait_s(patience, Fault.LIMITED, now=50) is not None
    assert wait_s(patience, Fault.LIMITED, now=50 + patience_s - 31) is not None
    assert wait_s(patience, Fault.LIMITED, now=51 + patience_s) is None


def test_rate_limits_are_put_up_with_as_long_as_anybody_is_answered() -> None:
    """A call's own bad luck at a slow limit is none of its faults."""
    patience = Patience(timeout_s=10)
    for hour in range(48):
        now = 3600.0 * hour
        assert wait_s(patience, Fault.LIMITED, now=now, last_answered=now - 100) is not None
    assert wait_s(patience, now=now) is not None  # and the first other fault finds all its patience
    assert wait_s(patience, Fault.LIMITED, now=now + 1000, last_answered=now - 100) is None


@pytest.mark.parametrize("fault", [Fault.LIMITED, Fault.AWAY, Fault.BROKEN])
def test_a_wait_beyond_the_bound_is_none_unless_others_are_answered_meanwhile(fault: Fault) -> None:
    patience = Patience(timeout_s=10)
    assert (wait_s(patience, fault, now=10, sent_at=9, last_answered=9.5, after=DAY_S) or DAY_S) <= 1
    assert not patience.asked_too_much
    assert wait_s(patience, fault, now=20, sent_at=19, last_answered=9.5, after=DAY_S) is None
    assert patience.asked_too_much


def test_silence_is_said_once_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    health = Availability("openai:m", "http://h/v1")

    def outage(begin: float) -> int:
        before = len(caplog.records)
        for step in range(100):
            health.failed("connection refused", begin + step / 10)
        return len(caplog.records) - before

    assert outage(0) == 1
    assert caplog.messages == ["model openai:m: no answer at http://h/v1 yet (connection refused); trying on"]
    health.answered(20)
    assert outage(30) == 0  # a server that answers now and then is not spoken of all the time
    health.answered(500)
    assert outage(600) == 1


def test_a_short_fault_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    health = Availability("openai:m", "http://h/v1")
    for second in range(0, 100, 2):
        health.failed("HTTP 500: oops", second)
        health.failed("HTTP 500: oops", second + 1)
        health.answered(second + 1.5)
    assert not caplog.records
