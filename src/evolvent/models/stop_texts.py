"""Texts before which a reply ends."""

from collections.abc import Sequence


def before_stop(text: str, stop: Sequence[str]) -> str | None:
    """The text before the first of the stop texts in it; None where it holds none of them."""
    places = [place for place in (text.find(each) for each in stop) if place >= 0]
    return text[: min(places)] if places else None
