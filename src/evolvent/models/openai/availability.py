"""What the calls of one model have found out together: whether its server still answers anybody."""

import logging
from dataclasses import dataclass

from evolvent.errors import EvolventError

SEVERAL = 5  # different calls, with no answer to anybody in between
REFUSED_S = 10.0  # a server that answered before has refused everybody for so long
TELL_AFTER_S = 3.0
TELL_AGAIN_S = 300.0

log = logging.getLogger("evolvent")


@dataclass(slots=True)
class Availability:
    """Whether the server answers. Times are the running loop's.

    One call's bad luck is no outage: a firewall refuses one prompt, one connection of many does not come about. What
    every call meets, with no answer to anybody in between, is a matter of the model.

    Attributes:
        uri: the model's URI, for the log.
        base_url: the server's address, for the log.
        last_answered: when a call of this process was last answered; None for never.
        unavailable: what was found to be wrong with the model; no further call is sent then.
    """

    uri: str
    base_url: str
    last_answered: float | None = None
    unavailable: EvolventError | None = None
    _silent_since: float | None = None
    _told_at: float | None = None
    _refused: int = 0
    _given_up: int = 0

    def check(self) -> None:
        """Raise what was found out, if anything: the others need not try again."""
        if self.unavailable is not None:
            raise type(self.unavailable)(self.unavailable.message, fix=self.unavailable.fix)

    def answered(self, now: float) -> None:
        """A call was answered."""
        self.last_answered = now
        if self._silent_since is not None:
            self._silent_since = None
            self._refused = self._given_up = 0

    def failed(self, words: str, now: float) -> None:
        """A try failed; said in the log once an outage, when it has lasted for a few seconds."""
        if self._silent_since is None:
            self._silent_since = now
        lately = self._told_at is not None and now - self._told_at < TELL_AGAIN_S
        if now - self._silent_since > TELL_AFTER_S and not lately:
            self._told_at = now
            log.warning("model %s: no answer at %s yet (%s); trying on", self.uri, self.base_url, words)

    def refuses_all(self, *, first: bool, now: float) -> bool:
        """Count a refusal that says that no call can succeed.

        Args:
            first: it is this call's first one. A call that was refused before others were answered says nothing new.
            now: the time.

        Returns:
            Whether several calls met it, and nobody was answered in between.
        """
        self._refused += first
        lasting = self.last_answered is None or now - self.last_answered >= REFUSED_S
        return lasting and self._refused >= SEVERAL

    def left_all(self, away_since: float | None) -> bool:
        """Count a call that found the server away (since then) until its patience ended.

        Returns:
            Whether several did, and nobody was answered meanwhile.
        """
        if away_since is None or self.last_answered is None or self.last_answered >= away_since:
            return False
        self._given_up += 1
        return self._given_up >= SEVERAL
