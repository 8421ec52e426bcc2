"""What servers write about their rate limits, and caps a minute."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.models.openai.limits import Allowance, Pace, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", 1),
        ("120ms", 0.12),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("1d", 86400),
        ("30", 30),
        ("0.25", 0.25),
        (" 5S ", 5),
        ("", None),
        (None, None),
        ("soon", None),
        ("-3", 0),
        ("nan", None),
        ("inf", None),
        ("1x", None),
        ("1s and more", None),
    ],
)
def test_durations(text: str | None, value: float | None) -> None:
    assert seconds(text) == (None if value is None else pytest.approx(value))


@given(st.text())
def test_any_text_is_a_duration_or_none(text: str) -> None:
    value = seconds(text)
    assert value is None or value >= 0


@given(st.floats(0.1, 1e6), st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e4)), max_size=50))
def test_a_cap_is_kept_over_any_span(per_minute: float, steps: list[tuple[float, float]]) -> None:
    pace, now, taken = Pace(per_minute), 0.0, [(0.0, 0.0)]
    for pause, amount in steps:
        now += pause
        now += pace.wait_s(now)
        pace.take(amount, now)
        taken.append((now, amount))
    for first, (begin, _) in enumerate(taken):
        amounts = [amount for time, amount in taken[first:] if time < begin + 60]
        assert sum(amounts[:-1]) <= per_minute * 1.001 + 1e-6


def test_nonsense_about_what_is_left_holds_nothing_up() -> None:
    allowance = Allowance("requests")
    for remaining, reset in [("x", "1s"), ("0", "x"), ("-1", "1s"), ("0", "")]:
        allowance.heard(
            {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset}, sent=1, now=0
        )
        assert allowance.wait_s(1, now=0) == 0


@pytest.mark.parametrize("reset", ["24h", "86400", "4102444800"])
def test_a_reset_that_is_far_off_holds_nobody_up(reset: str) -> None:
    allowance = Allowance("requests")
    allowance.heard({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset}, sent=0, now=5)
    assert allowance.wait_s(1, now=5) == 0


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_reset_may_be_a_point_in_time(unit: int) -> None:
    """OpenRouter and GitHub write Unix times, in seconds or milliseconds."""
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": str(1_700_000_030 * unit),
        "date": formatdate(1_700_000_000, usegmt=True),
    }
    allowance = Allowance("requests")
    allowance.heard(headers, sent=0, now=5)
    assert allowance.wait_s(1, now=5) == 30
    headers["x-ratelimit-reset-requests"] = str(1_600_000_000 * unit)
    allowance.heard(headers, sent=0, now=5)
    assert allowance.wait_s(1, now=5) == 0
