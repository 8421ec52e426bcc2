"""Models: every model that stages need, opened once and closed once, whatever they are used for and whatever fails."""

from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import orjson

from evolvent.event_loop import EventLoop
from evolvent.models.opening import open_chat, open_pair_classifier, open_scorer
from evolvent.models.protocols import ChatModel, PairClassifier, TokenScorer
from evolvent.models.uri import parse_uri

Capability = Literal["chat", "losses", "relate"]


@dataclass(frozen=True, slots=True)
class Calls:
    """How a chat model is called.

    Attributes:
        extra_body: extra request fields for an ``openai:`` model, as canonical JSON text; part of every call's key.
        concurrency: requests at once; None finds the level that suits.
        requests_per_minute, tokens_per_minute: caps of a server's model.
    """

    extra_body: str | None = None
    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a base model computes token losses: where, in which numbers, and how many padded tokens at once."""

    device: str = "auto"
    dtype: str = "auto"
    batch_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """A model that a stage needs: plain data.

    Attributes:
        capability: what it is needed for: ``chat``, ``losses`` (of given tokens) or ``relate`` (two texts).
        uri: its URI, as the user wrote it.
        how: what else decides how it is opened; None for the defaults.
    """

    capability: Capability
    uri: str
    how: Calls | Numbers | None = None

    @property
    def name(self) -> str:
        """The URI as records hold it."""
        return str(parse_uri(self.uri))


def is_server(uri: str) -> bool:
    """Whether a model runs behind a server, and not in this process."""
    return parse_uri(uri).scheme == "openai"


class Models:
    """Opens each model once and keeps it open until the end. A context manager, owned by whoever runs stages.

    All models work in one event loop, which ends with them (``run``).
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[Capability, str, Calls | Numbers | None], Any] = {}
        self._loop = EventLoop()
        self.run = self._loop.run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, need: Need) -> Any:
        """The model that is needed: a ``ChatModel``, ``TokenScorer`` or ``PairClassifier``; opened if it is not yet.

        Raises:
            InputError: a bad URI or option, a missing extra, a model that cannot do this.
            ModelUnavailableError: the model cannot be used.
        """
        key = need.capability, need.name, need.how
        if key not in self._opened:
            self._opened[key] = _open(need)
        return self._opened[key]

    def close(self, *, keep: Collection[str] = ()) -> None:
        """Close the models, and with all of them the event loop.

        Args:
            keep: URIs, as records hold them, of those that stay open: a later stage needs them.
        """
        closed = [key for key in self._opened if key[1] not in keep]
        try:
            for key in closed:
                model = self._opened.pop(key)
                if key[0] == "chat":
                    self.run(model.close())
        finally:
            if not self._opened:
                self._loop.close()


def _open(need: Need) -> ChatModel | TokenScorer | PairClassifier:
    if need.capability == "relate":
        return open_pair_classifier(need.uri)
    if need.capability == "losses":
        numbers = need.how if isinstance(need.how, Numbers) else Numbers()
        return open_scorer(need.uri, device=numbers.device, dtype=numbers.dtype, batch_tokens=numbers.batch_tokens)
    calls = need.how if isinstance(need.how, Calls) else Calls()
    server = is_server(need.uri)
    return open_chat(
        need.uri,
        extra_body=orjson.loads(calls.extra_body) if calls.extra_body and server else None,
        concurrency=calls.concurrency,
        requests_per_minute=calls.requests_per_minute if server else None,
        tokens_per_minute=calls.tokens_per_minute if server else None,
    )
