"""Responses cut into batches: what one process is given at once takes a small part of its functions' memory.

All responses of a process stand in the address space of each of its functions, which has a limit (``Limits.memory``):
responses that have nothing to do with one another must not be what a function runs out of memory by. Where the cuts
are depends on the responses alone.
"""

from collections.abc import Iterator, Sequence

BATCH = 16  # of a function's memory one part in so many is a batch's, as the function may hold copies
LARGEST = 2  # likewise one response's, alone in its batch; a larger one leaves the interpreter too little


def batches(responses: Sequence[str], memory: int) -> Iterator[Sequence[str]]:
    """The responses in batches, in order; at least one batch, if need be an empty one."""
    start = size = 0
    for index, response in enumerate(responses):
        more = size_of(response)
        if index > start and size + more > memory // BATCH:
            yield responses[start:index]
            start, size = index, 0
        size += more
    yield responses[start:]


def too_large(batch: Sequence[str], memory: int) -> bool:
    """Whether a batch is a single response that no function could be given."""
    return sum(map(size_of, batch)) > memory // LARGEST


def size_of(response: str) -> int:
    """The bytes that a text takes in memory, at the most."""
    return len(response) if response.isascii() else 4 * len(response)
