"""HFCrossEncoder: a sequence classifier in this process that reads two texts at once and says how they relate.

Models of natural language inference differ in the order of their labels and in how they write them, so the labels are
read from the model's config, never assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import torch

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.hf.loading import CLASSIFIER, Loading, Weights, load_weights, trained_context

RELATIONS = ("entailment", "neutral", "contradiction")

BATCH = 32  # pairs a forward pass; instructions are a few dozen tokens


@dataclass(slots=True)
class HFCrossEncoder:
    """A PairClassifier of transformers.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: dtype, and a hash of config, tokenizer and weights, as canonical JSON text; not the device.
        context: the longest pair in tokens; of a longer one the longer text loses its end.
        labels: the relation that each of the model's outputs stands for, in their order.
    """

    uri: str
    identity: str
    context: int
    labels: tuple[str, ...]
    _weights: Weights

    @classmethod
    def load(cls, name: str, *, uri: str, **how: Unpack[Loading]) -> Self:
        """Load a cross-encoder for inference.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's name in messages to the user.
            how: see ``Loading``.

        Raises:
            InputError: an unknown device or dtype; code that the user has not allowed; a model whose config does not
                name the labels entailment, neutral and contradiction.
            ModelUnavailableError: no such model, no weights, no network, weights that are no sequence classifier's.
        """
        weights = load_weights(name, uri=uri, kind=CLASSIFIER, **how)
        if weights.tokenizer.pad_token_id is None:
            raise ModelUnavailableError(
                f"model {uri}: its tokenizer has no padding token",
                fix="Name a cross-encoder with an encoder's tokenizer.",
            )
        model = weights.model
        return cls(uri, weights.identity, _longest(model, weights.tokenizer), _labels(model.config, uri), weights)

    def relations(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """For each premise with its hypothesis: ``entailment``, ``neutral`` or ``contradiction``.

        Raises:
            CallError: one of the texts holds a token that the model has no embedding for.
        """
        order = sorted(range(len(pairs)), key=lambda index: len(pairs[index][0]) + len(pairs[index][1]))
        found: dict[int, str] = {}
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            with self._weights.lock:  # the tokenizer's too: how it pads is set in it
                likeliest = self._logits([pairs[index] for index in batch]).argmax(-1).tolist()
            found.update(zip(batch, (self.labels[label] for label in likeliest), strict=True))
        return [found[index] for index in range(len(pairs))]

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """The model's outputs for a batch, [pairs, labels]."""
        premises, hypotheses = [premise for premise, _ in pairs], [hypothesis for _, hypothesis in pairs]
        inputs = self._weights.tokenizer(
            premises, hypotheses, padding=True, truncation=True, max_length=self.context, return_tensors="pt"
        )
        known = self._weights.model.get_input_embeddings().weight.shape[0]
        highest = int(inputs["input_ids"].max())
        if highest >= known:
            raise CallError(
                f"model {self.uri}: a text holds token number {highest}, and the model knows {known} tokens"
            )
        with torch.inference_mode():
            logits: torch.Tensor = self._weights.model(**inputs.to(self._weights.model.device)).logits
        return logits.float()


def _labels(config: Any, uri: str) -> tuple[str, ...]:
    """The labels in the order of the model's outputs, in small letters."""
    labels = tuple(str(config.id2label[index]).strip().casefold() for index in range(config.num_labels))
    if not set(RELATIONS) <= set(labels):
        raise InputError(
            f"model {uri} does not tell {', '.join(RELATIONS)} apart: its labels are {', '.join(labels)}",
            fix="Name a cross-encoder whose config.json has these three in id2label.",
        )
    return labels


def _longest(model: Any, tokenizer: Any) -> int:
    """The most tokens that the model has positions for and its tokenizer allows."""
    # RoBERTa and its kin count positions from behind the padding token's number.
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    unused = 0 if padding is None else padding + 1
    return min(trained_context(model.config, tokenizer) - unused, int(tokenizer.model_max_length))
