"""Waits between the tries of one call."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.openai import retries
from evolvent.models.openai.retries import Fault, Patience, Transient


def test_six_faults_end_a_call_and_their_waits_are_bounded_exponentially() -> None:
    for _ in range(200):
        patience = Patience(timeout_s=600)
        waits = [patience.wait_s(Transient("oops")) for _ in range(retries.MAX_FAULTS)]
        assert waits[-1] is None
        assert all(wait is not None and 0 <= wait <= 2**n for n, wait in enumerate(waits[:-1]))


@given(st.floats(0.1, 500), st.integers(1, 40))
def test_retry_after_is_honoured_and_no_more_than_needed(after: float, failures: int) -> None:
    patience = Patience(timeout_s=600)
    for _ in range(failures):
        wait = patience.wait_s(Transient("later", Fault.LIMITED, after=after))
        assert wait is not None
        assert after <= wait <= 1.03 * after


def test_retry_after_of_nothing_is_no_hot_loop() -> None:
    patience = Patience(timeout_s=600)
    waits = [patience.wait_s(Transient("later", Fault.LIMITED, after=0.0)) or 0.0 for _ in range(12)]
    assert max(waits) > 1


def test_server_that_answered_before_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for fault in (Fault.AWAY, Fault.UNREACHABLE):
        patience = Patience(timeout_s=10)
        begin, tries = now, 0
        while (wait := patience.wait_s(Transient("gone", fault), known=True)) is not None:
            assert wait <= retries.LONGEST_AWAY_WAIT_S
            now += wait + 0.01
            tries += 1
        assert retries.AWAY_S <= now - begin <= retries.AWAY_S + 6
        assert tries < 200


def test_faults_count_anew_after_an_outage() -> None:
    patience = Patience(timeout_s=600)
    for _ in range(20):
        assert patience.wait_s(Transient("gone", Fault.UNREACHABLE), known=True) is not None
    assert patience.wait_s(Transient("oops"), known=True) is not None


def test_waits_of_calls_that_failed_together_are_spread() -> None:
    waits = {Patience(timeout_s=600).wait_s(Transient("later", after=1.0)) for _ in range(100)}
    assert len(waits) == 100


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(10, 900), (600, 1260)])
def test_patience_is_fifteen_minutes_or_two_time_outs(
    timeout_s: float, patience_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT_S", 0.0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    patience = Patience(timeout_s)
    now += patience_s - 1
    assert patience.wait_s(Transient("later", Fault.LIMITED)) is not None
    now += 2
    assert patience.wait_s(Transient("later", Fault.LIMITED)) is None
