"""Points in time as servers write them in headers, turned into seconds from now by the server's own clock."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time

EPOCH_S = 1e9  # a greater number of seconds is a point in time
EPOCH_MS = 1e11


def from_now(number: float, headers: Mapping[str, str]) -> float:
    """Seconds from now, at least 0, that a number means: a span, or a Unix time in seconds or milliseconds."""
    if number > EPOCH_MS:
        number /= 1000
    return max(0.0, number - _now(headers) if number > EPOCH_S else number)


def until(text: str | None, headers: Mapping[str, str]) -> float | None:
    """Seconds from now to an HTTP date, at least 0; None for anything else."""
    then = _timestamp(text)
    return None if then is None else max(0.0, then - _now(headers))


def _now(headers: Mapping[str, str]) -> float:
    """The server's time, where it gives it: its clock need not be ours."""
    date = _timestamp(headers.get("date"))
    return time() if date is None else date


def _timestamp(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):  # no date, or one that no clock will show
        return None
