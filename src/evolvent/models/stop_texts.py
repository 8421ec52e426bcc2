"""Texts before which a reply ends."""

from collections.abc import Callable, Sequence


def before_stop(text: str, stop: Sequence[str]) -> str | None:
    """The text before the first of the stop texts in it; None where it holds none of them."""
    places = [place for place in (text.find(each) for each in stop) if place >= 0]
    return text[: min(places)] if places else None


def tokens_before(text: str, tokens: Sequence[int], read: Callable[[Sequence[int]], str]) -> int:
    """How many tokens hold something of the text before a stop text.

    Args:
        text: the text before it.
        tokens: those of that text and of the stop text.
        read: the text of the first tokens.
    """
    count = len(tokens)
    while count and read(tokens[: count - 1]).startswith(text):
        count -= 1
    return count


def tokens_within(text: str, tokens: Sequence[bytes]) -> int:
    """How many of the tokens that a server lists hold something of a text, which stands at their end.

    Behind it may stand what ends a reply and is no part of it: an end-of-turn token, the tokens of a stop text, blanks
    that the server has taken off.
    """
    end, listed, count = text.encode(), b"".join(tokens), len(tokens)
    while count:
        if not tokens[count - 1]:
            count -= 1
            continue
        listed = listed[: len(listed) - len(tokens[count - 1])]
        if not (listed.endswith(end) or listed.rstrip().endswith(end)):
            break
        count -= 1
    return count
