"""How long a stage's stored replies are: what a dry run expects of those to come."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from evolvent.call_store.store import open_read_only
from evolvent.files import CALLS
from evolvent.storage_errors import explained

# In a request max_tokens stands first.
QUERY = """
SELECT model, CAST(substr(request, 15, 20) AS INTEGER), count(*),
    avg(json_extract(reply, '$.usage.completion_tokens'))
FROM calls WHERE stage = ? AND json_valid(reply) AND substr(request, 1, 14) = '{"max_tokens":' GROUP BY 1, 2
"""


class Length(NamedTuple):
    """The mean length of replies, in tokens, and how many they are."""

    replies: int
    tokens: float


def reply_lengths(run: Path, stage: str) -> dict[tuple[str, int], Length]:
    """How long a stage's stored replies are, by model URI and ``max_tokens``; nothing if there are none.

    A prompt with a limit of its own (it asks for a sentence) has replies of another length than the others.

    Raises:
        InputError, RunError: the store cannot be read.
    """
    path = run / CALLS
    if not path.is_file():
        return {}
    with closing(open_read_only(path)) as store, explained(path, "read"):
        return {(model, limit): Length(n, mean or 0.0) for model, limit, n, mean in store.execute(QUERY, (stage,))}
