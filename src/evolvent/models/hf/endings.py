"""When a reply under way has ended, and why."""

from collections.abc import Callable, Collection, Sequence

from evolvent.models.hf.batching import Request
from evolvent.models.repetition import LOOK_EVERY, has_looped
from evolvent.models.stop_texts import before_stop

# A character has up to four bytes, and a token at least one, but for the few that are no text.
BYTES_A_CHARACTER = 4
TOKENS_WITHOUT_TEXT = 8

Ending = Callable[[Request, Sequence[int]], str | None]


def finish_reason(
    ends: Collection[int],
    decode: Callable[[Sequence[int]], str],
    answer: Callable[[Request, Sequence[int]], str],
    request: Request,
    tokens: Sequence[int],
) -> str | None:
    """Why a reply ends with its last token, or None. To be asked after each of its tokens.

    Args:
        ends: tokens that end a reply.
        decode: the text of tokens.
        answer: the text of a reply's tokens, reasoning taken out: what was thought ends at no stop text.
        request: what was asked.
        tokens: the reply so far.

    Returns:
        ``stop`` at an end token or a stop text, ``loop`` where ``has_looped``, ``length`` at the request's limit.
    """
    if tokens[-1] in ends:
        return "stop"
    stop = request.sampling.stop
    if stop:
        window = BYTES_A_CHARACTER * max(map(len, stop)) + TOKENS_WITHOUT_TEXT
        seen = before_stop(decode(tokens[-window:]), stop) is not None
        if seen and before_stop(answer(request, tokens), stop) is not None:
            return "stop"
    if len(tokens) % LOOK_EVERY == 0 and has_looped(decode(tokens)):
        return "loop"
    return "length" if len(tokens) >= request.max_tokens else None
