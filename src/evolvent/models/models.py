"""Models by what they can do: every one that stages need is opened once and closed once, whatever fails."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Literal, Self

import orjson

from evolvent.concurrency import EventLoop
from evolvent.errors import InputError
from evolvent.interrupts import ending_at_once
from evolvent.models.opening import (
    open_chat,
    open_embedder,
    open_pair_classifier,
    open_reward_model,
    open_scorer,
)
from evolvent.models.protocols import ChatModel, Embedder, PairClassifier, RewardModel, TokenScorer
from evolvent.models.uri import parse_uri
from evolvent.options import Calling

Capability = Literal["chat", "losses", "relate", "reward", "embed"]


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
    """How a model computes numbers of texts: where, in which type, and how many padded tokens at once."""

    device: str = "auto"
    dtype: str = "auto"
    batch_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """A model that a stage needs: plain data.

    Attributes:
        capability: what it is needed for: ``chat``, ``losses`` (of given tokens), ``relate`` (two texts), ``reward``
            (of answers) or ``embed`` (texts).
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

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of further servers, where several serve the model."""
        return parse_uri(self.uri).more_base_urls


def chat_need(uri: str, calling: Calling) -> Need:
    """A chat model that a stage calls."""
    try:
        fields = orjson.dumps(dict(calling.extra_body), option=orjson.OPT_SORT_KEYS) if calling.extra_body else None
    except TypeError as error:
        raise InputError(f"extra_body is no JSON: {error}", fix="It holds texts, numbers, lists, mappings.") from None
    body = fields.decode() if fields else None
    calls = Calls(body, calling.concurrency, calling.max_requests_per_minute, calling.max_tokens_per_minute)
    return Need("chat", uri, calls)


def is_server(uri: str) -> bool:
    """Whether a model runs behind a server, and not in this process."""
    return parse_uri(uri).scheme == "openai"


class Models:
    """Opens each model once and keeps it open until the end. A context manager, owned by whoever runs stages.

    All models work in one event loop, which ends with them (``run``).
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[Capability, str, tuple[str, ...], Calls | Numbers | None], Any] = {}
        self._loop = EventLoop()
        self.run = self._loop.run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, need: Need) -> Any:
        """The model that is needed, by the protocol of its capability; opened if it is not yet.

        Raises:
            InputError: a bad URI or option, a missing extra, a model that cannot do this.
            ModelUnavailableError: the model cannot be used.
        """
        key = need.capability, need.name, need.servers, need.how
        if key not in self._opened:
            with ending_at_once():
                self._opened[key] = _open(need)
        return self._opened[key]

    def __contains__(self, need: Need) -> bool:
        return (need.capability, need.name, need.servers, need.how) in self._opened

    def close(self, *, keep: Collection[str] = ()) -> None:
        """Close the models, and with all of them the event loop.

        Args:
            keep: URIs, as records hold them, of those that stay open: a later stage needs them.
        """
        closed = [key for key in self._opened if key[1] not in keep]
        with ExitStack() as ending:  # each of them, whatever another one's end raises
            if len(closed) == len(self._opened):
                ending.callback(self._loop.close)
            for key in reversed(closed):
                model = self._opened.pop(key)
                if key[0] == "chat":
                    ending.callback(lambda model: self.run(model.close()), model)


@contextmanager
def opened(models: Models | None) -> Iterator[Models]:
    """The models of a caller who owns them; models of this call's own, closed when it ends, if there are none."""
    if models is not None:
        yield models
        return
    with Models() as own:
        yield own


def _open(need: Need) -> ChatModel | TokenScorer | PairClassifier | RewardModel | Embedder:
    if need.capability == "relate":
        return open_pair_classifier(need.uri)
    if need.capability != "chat":
        how = asdict(need.how if isinstance(need.how, Numbers) else Numbers())
        if need.capability == "losses":
            return open_scorer(need.uri, **how)
        return open_reward_model(need.uri, **how) if need.capability == "reward" else open_embedder(need.uri, **how)
    calls = need.how if isinstance(need.how, Calls) else Calls()
    server = is_server(need.uri)
    return open_chat(
        need.uri,
        extra_body=orjson.loads(calls.extra_body) if calls.extra_body and server else None,
        concurrency=calls.concurrency,
        requests_per_minute=calls.requests_per_minute if server else None,
        tokens_per_minute=calls.tokens_per_minute if server else None,
    )
