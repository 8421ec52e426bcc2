"""What servers say that they answer with, noticed where it changes within a stage; and which of several answered."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evolvent.call_store.store import open_read_only
from evolvent.errors import printable
from evolvent.storage_errors import explained

# Models that are noted, and fingerprints of each: a router may name a new one with every reply.
NOTED = 10

# A model's name, and its fingerprint if it has one, as the manifest holds them.
Name = list[str | None]

SERVERS = """
SELECT model, json_extract(reply, '$.server') AS server, count(*) FROM calls
WHERE stage = ? AND json_valid(reply) AND server IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""

log = logging.getLogger("evolvent")


@dataclass(slots=True)
class Served:
    """What the replies of one model say that they were made with.

    Args:
        uri: the model's URI.
        names: by URI, what replies of the stage have named before; new names are added.
        noted: called when one was.
    """

    uri: str
    names: dict[str, list[Name]]
    noted: Callable[[], None]
    replies: int = 0

    def see(self, served_by: tuple[str, str | None] | None, server: str | None = None) -> None:
        """Look at one reply: each further model is told, and the first further fingerprint.

        Args:
            served_by: what it says that it was made with.
            server: the address that it came from, of a model with several servers.
        """
        self.replies += 1
        seen = self.names.setdefault(self.uri, []) if served_by else []
        if served_by is None or list(served_by) in seen:
            return
        model, fingerprint = served_by
        models = list(dict.fromkeys(name for name, _ in seen))
        fingerprints = [one for name, one in seen if name == model and one]
        if len(fingerprints) == NOTED or (model in models and not fingerprint):
            return
        if model not in models and len(models) == NOTED:
            return
        if models and model not in models:
            self._tell(server, f"is by {model}, those before it by {', '.join(map(str, models))}")
        elif len(fingerprints) == 1 and len(seen) == len(models):  # the first that changes
            self._tell(server, f"has the system_fingerprint {fingerprint}, those before it {fingerprints[0]}")
        seen.append([model, fingerprint])
        self.noted()

    def _tell(self, server: str | None, words: str) -> None:
        what = "its servers differ" if server else "the server changed"
        reply = f"reply {self.replies:,} of this command" + (f", from {server}," if server else "")
        log.warning("%s", printable(f"model {self.uri}: {what}: {reply} {words}"))


def replies_by_server(store: Path, stage: str) -> dict[str, dict[str, int]]:
    """By model with several servers, how many of a stage's stored replies each gave. All of them are read."""
    found: dict[str, dict[str, int]] = {}
    with closing(open_read_only(store)) as opened, explained(store, "read"):
        for model, server, count in opened.execute(SERVERS, (stage,)):
            found.setdefault(model, {})[server] = count
    return found
