"""What a model can do: chat, score tokens, reward answers, embed or compare texts.

The stages know these protocols only, never a back end.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evolvent.errors import InputError
from evolvent.records import Message

if TYPE_CHECKING:
    import threading

    import numpy as np


# What gives back the place that a call had among those in flight, where its caller keeps replies on disk: a reply that
# is not there yet would be asked for again after a kill, so it still counts as in flight.
until_kept: ContextVar["list[Callable[[], None]] | None"] = ContextVar("until_kept", default=None)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn.

    Attributes:
        temperature: 0 is greedy; then neither ``top_p`` nor ``seed`` decides anything.
        top_p: nucleus mass in (0, 1].
        max_tokens: upper bound of the reply's length in tokens.
        seed: seed of this one call, below 2**31; None leaves the server its own.
        top_logprobs: 0, or how many alternatives a token to return with log probabilities (natural logarithm).
        stop: texts before which the reply ends; it does not hold them.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 2048
    seed: int | None = None
    top_logprobs: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 5:
            raise InputError(f"temperature is {self.temperature}", fix="It lies between 0 (greedy) and 5.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}", fix="It lies above 0, up to 1.")
        if self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens}", fix="It is at least 1.")
        if "" in self.stop:
            raise InputError("a stop text is empty", fix="Every reply would end before its first character.")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; ``estimated`` when the server did not count them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token, its log probability (nats) and the alternatives', most likely first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: the answer, a NUL in it replaced by U+FFFD; empty when the model gave none (null content, a refusal,
            reasoning that never ended).
        finish_reason: ``stop``, ``length`` at the token limit, ``loop`` where it repeats itself without end,
            ``content_filter`` …; one that is none of these as the server says it.
        usage: tokens in and out.
        refusal: the server's refusal text, if it gave one.
        reasoning: what the model thought before the answer, from a field beside the content or from ``<think>`` tags.
        logprobs: when asked for, one entry a generated token, under the model's own distribution (temperature 1). The
            token that ends the turn has none, nor have those of a stop text.
        cut_max_tokens: the bound that was used when the context left less than ``Sampling.max_tokens``.
        served_by: what a server says that it answered with: a model's name, and a ``system_fingerprint`` or None.
        server: the address of the one that answered, of a model with several.
    """

    text: str
    finish_reason: str
    usage: Usage = Usage()
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    cut_max_tokens: int | None = None
    served_by: tuple[str, str | None] | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        # Some models have a token for NUL, and readers of text files take what holds one for no text.
        for name in ("text", "finish_reason", "refusal", "reasoning"):
            value = getattr(self, name)
            if isinstance(value, str) and "\0" in value:
                object.__setattr__(self, name, value.replace("\0", "\ufffd"))


class ChatModel(Protocol):
    """A model that answers conversations.

    Attributes:
        uri: the model's URI as it is written into records; never holds a key.
        identity: everything besides messages and sampling that decides the reply (server, model, weights revision,
            extra request fields), as canonical JSON text. Part of every call's key.
        concurrency: how many conversations to have open at once. For a server more than it is sent at once, since calls
            that wait before their next try hold up none.
    """

    @property
    def uri(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def concurrency(self) -> int: ...

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation.

        Raises:
            CallError: this call failed for good.
            ModelUnavailableError: no call to this model can succeed.
            RunError: none can any more, though some did.
        """
        ...

    async def close(self) -> None:
        """Give back connections and memory."""
        ...


class Stopped(Exception):
    """Work in a thread was told to stop, and left off before its end."""


class TokenScorer(Protocol):
    """A language model that says how likely it finds each token of a text.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: everything that decides the losses (weights revision, dtype), as canonical JSON text.
        context: the longest sequence it can score, in tokens.
    """

    uri: str
    identity: str
    context: int

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a raw text, the tokenizer's own special tokens (a BOS, say) included."""
        ...

    def chat_tokens(self, messages: Sequence[Message], *, generation_prompt: bool) -> list[int]:
        """Token ids of a conversation in the model's chat template.

        Raises:
            InputError: the model has no chat template.
        """
        ...

    def nll(
        self,
        sequences: Sequence[Sequence[int]],
        starts: Sequence[int],
        *,
        ranked: bool = False,
        stop: "threading.Event | None" = None,
    ) -> "list[np.ndarray | None]":
        """Per-token losses, and how many tokens the model finds likelier.

        Args:
            sequences: token ids, one list a text, each at most ``context`` long.
            starts: for each text the first position to score, at least 1 (position 0 has nothing before it).
            ranked: whether ranks are wanted, too.
            stop: set by another thread, it ends the work before the next batch.

        Returns:
            For each text a float64 array of shape [len(sequence) - start]: -log p(token_t | tokens before t) in nats;
            with ``ranked`` of shape [2, len(sequence) - start], below the losses the ranks: 1 + how many tokens have a
            larger logit. None for a text that the memory does not hold even alone.

        Raises:
            Stopped: ``stop`` was set.
        """
        ...


class PairClassifier(Protocol):
    """A model of natural language inference: what one text says of another.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: everything that decides the relations (weights revision, dtype), as canonical JSON text.
    """

    uri: str
    identity: str

    def relations(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """For each premise with its hypothesis: ``entailment``, ``neutral`` or ``contradiction``.

        May be called from several threads.

        Raises:
            CallError: the model cannot read one of the texts.
        """
        ...


class RewardModel(Protocol):
    """A model that says how good an answer is.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: everything that decides the rewards (weights revision, dtype), as canonical JSON text.
        context: the longest conversation it can read, in tokens.
    """

    uri: str
    identity: str
    context: int

    def rewards(
        self, conversations: Sequence[Sequence[Message]], *, stop: "threading.Event | None" = None
    ) -> "list[Reward | str]":
        """How good the last turn of each conversation is, an assistant's.

        Args:
            conversations: each ends with an assistant's turn.
            stop: set by another thread, it ends the work before the next batch.

        Returns:
            For each its reward, or the reason why it has none: too long for the context, no room in memory, a chat
            template that refuses it.

        Raises:
            Stopped: ``stop`` was set.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward model's verdict.

    Attributes:
        value: the reward, on the model's own scale; it may be negative.
        tokens: length of the assistant's turn in the model's tokens, special ones not counted.
    """

    value: float
    tokens: int


class Embedder(Protocol):
    """A model that turns texts into vectors of length 1.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: everything that decides the vectors (weights revision, pooling, dtype), as canonical JSON text.
        dimensions: numbers in a vector.
        context: tokens of a text that are read; what is longer loses its end, as it does in sentence-transformers.
    """

    uri: str
    identity: str
    dimensions: int
    context: int

    def embed(self, texts: Sequence[str], *, stop: "threading.Event | None" = None) -> "np.ndarray":
        """The texts' vectors, float32 of shape [texts, dimensions], each of length 1.

        Args:
            texts: the texts; an empty one has a vector, too.
            stop: set by another thread, it ends the work before the next batch.

        Raises:
            Stopped: ``stop`` was set.
        """
        ...


class StageModels(Protocol):
    """The models that a stage's work gets, by URI as records hold it, each behind the run's call store."""

    @property
    def at_once(self) -> int:
        """How many records to have in work."""
        ...

    def chat(self, uri: str) -> ChatModel:
        """A model that answers conversations."""
        ...

    def model(self, capability: str, uri: str) -> Any:
        """A model that can do something else: ``losses``, ``relate`` …"""
        ...
