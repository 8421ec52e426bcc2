"""HFReward: a reward model in this process: a sequence classifier with one label, or a model with ``get_scores``.

Conversations are sorted by length and padded on the right. A classifier of transformers reads its verdict off the last
token that is not its padding token; one that has none reads conversations one by one.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import torch

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.hf.batching import original_context
from evolvent.models.hf.loading import CLASSIFIER, Loading, Weights, load_weights
from evolvent.models.hf.scorer import BATCH_TOKENS, batches, out_of_memory
from evolvent.models.hf.tokens import conversation_tokens, require_template, token_ids
from evolvent.models.protocols import Reward, Stopped
from evolvent.records import Message


@dataclass(slots=True)
class HFReward:
    """A RewardModel of transformers. Made by ``HFReward.load``.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: dtype, and a hash of config, tokenizer, chat template and weights, as canonical JSON text.
        context: the longest conversation in tokens; none is cut.
        batch_tokens: padded tokens a forward pass; a single longer conversation makes a batch of its own.
    """

    uri: str
    identity: str
    context: int
    batch_tokens: int
    _weights: Weights

    @classmethod
    def load(cls, name: str, *, uri: str, batch_tokens: int | None = None, **how: Unpack[Loading]) -> Self:
        """Load a reward model for inference.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's URI, for records and messages.
            batch_tokens: padded tokens a forward pass; None for the default.
            how: see ``Loading``.

        Raises:
            InputError: a bad option, code that the user has not allowed, a classifier of several labels, no chat
                template, or one for a model that has ``get_scores``.
            ModelUnavailableError: no such model, no weights, or weights without the layer that gives the reward.
        """
        weights = load_weights(name, uri=uri, kind=CLASSIFIER, **how)
        model = weights.model
        if hasattr(model, "get_scores"):
            if how.get("chat_template"):
                raise InputError(
                    f"model {uri} writes conversations with code of its own: it takes no chat template",
                    fix="Leave out chat_template.",
                )
        elif model.config.num_labels != 1:
            labels = ", ".join(map(str, model.config.id2label.values()))
            raise InputError(
                f"model {uri} is a classifier with the labels {labels}, and no reward model",
                fix="A reward model has one label: its verdict.",
            )
        require_template(weights, uri)
        chosen = batch_tokens or BATCH_TOKENS[model.device.type]
        if _padding(model) is None:
            chosen = 1  # one at a time: a token that texts hold would be taken for padding
        return cls(uri, weights.identity, weights.context, chosen, weights)

    def rewards(
        self, conversations: Sequence[Sequence[Message]], *, stop: threading.Event | None = None
    ) -> list[Reward | str]:
        """How good the last turn of each conversation is.

        Args:
            conversations: each ends with an assistant's turn.
            stop: set by another thread, it ends the work before the next batch.

        Returns:
            For each its reward, or the reason why it has none.

        Raises:
            Stopped: ``stop`` was set.
        """
        found: list[Reward | str] = [""] * len(conversations)
        read: dict[int, tuple[list[int], int]] = {}
        for place, turns in enumerate(conversations):
            tokens = self._read(turns)
            if isinstance(tokens, str):
                found[place] = tokens
            else:
                read[place] = tokens
        places = list(read)
        lengths = [len(read[place][0]) for place in places]
        waiting = batches(lengths, self.batch_tokens, original_context(self._weights.model))[::-1]
        while waiting:
            if stop is not None and stop.is_set():
                raise Stopped(f"model {self.uri} was told to stop")
            batch = waiting.pop()
            chosen = [places[index] for index in batch]
            values = self._fitting([read[place][0] for place in chosen], [conversations[place] for place in chosen])
            if values is not None:
                for place, value in zip(chosen, values, strict=True):
                    found[place] = Reward(value, read[place][1])
            elif len(batch) > 1:
                waiting += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
            else:
                found[chosen[0]] = f"out of memory: the conversation has {len(read[chosen[0]][0])} tokens"
        return found

    def _read(self, turns: Sequence[Message]) -> tuple[list[int], int] | str:
        """A conversation's tokens and how many its last turn has, or why it cannot be read."""
        try:
            tokens = conversation_tokens(self._weights, self.uri, turns, generation_prompt=False)
            if len(tokens) > self.context:
                return f"longer than the reward model's context of {self.context} tokens"
            return tokens, len(token_ids(self._weights, turns[-1]["content"], special=False))
        except CallError as error:
            return error.message

    def _fitting(self, texts: Sequence[list[int]], conversations: Sequence[Sequence[Message]]) -> list[float] | None:
        """The rewards of a batch, or None where memory is short."""
        try:
            with self._weights.lock:
                if hasattr(self._weights.model, "get_scores"):
                    return _own_scores(self._weights, self.uri, conversations)
                return self._forward(texts)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return None

    def _forward(self, texts: Sequence[list[int]]) -> list[float]:
        """The rewards of a batch: one forward pass."""
        model: Any = self._weights.model
        width = max(map(len, texts))
        padding = _padding(model) or 0
        ids = torch.tensor([[*text, *[padding] * (width - len(text))] for text in texts])
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
        with torch.inference_mode():
            logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
        values: list[float] = logits[:, 0].double().cpu().tolist()
        return values


def _padding(model: Any) -> int | None:
    """The padding token that a model's config names, if the model has an embedding for it (many say -1)."""
    token: int | None = model.config.get_text_config().pad_token_id
    return token if token is not None and 0 <= token < model.get_input_embeddings().weight.shape[0] else None


def _own_scores(weights: Weights, uri: str, conversations: Sequence[Sequence[Message]]) -> list[float]:
    """The rewards as a model gives them whose own code has ``get_scores`` (InternLM's reward models)."""
    with torch.inference_mode():
        scores = weights.model.get_scores(weights.tokenizer, [list(map(dict, turns)) for turns in conversations])
    values: list[float] = torch.as_tensor(scores).double().flatten().cpu().tolist()
    if len(values) != len(conversations):
        raise ModelUnavailableError(
            f"model {uri}: its get_scores gives {len(values)} numbers for {len(conversations)} conversations",
            fix="A reward model gives one for each.",
        )
    return values
