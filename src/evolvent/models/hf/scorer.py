"""HFScorer: how likely a model in this process finds each token of a text.

Texts are sorted by length and padded on the right. Under a causal mask no token sees what stands after it, so padding
needs no attention mask, and the attention kernels are free to use their plain causal form. Logits are computed only
where a token is scored: the output layer is often the widest matrix of a small model, and its result the largest array.
"""

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import torch
from torch.nn.functional import cross_entropy

from evolvent.models.hf.batching import alike, original_context
from evolvent.models.hf.loading import Loading, Weights, load_weights
from evolvent.models.hf.tokens import conversation_tokens, require_template, token_ids
from evolvent.models.protocols import Stopped
from evolvent.records import Message

if TYPE_CHECKING:
    import numpy as np

# Padded tokens a forward pass. CPU: measured best on models of 0.3 and 3 M parameters (benchmarks/scoring.py):
# smaller costs calls, larger falls out of the cache and pads more.
BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}

# A forward pass costs, beside its tokens, about this part of a full batch: calls from Python, small matrices.
CALL_SHARE = 32

# Scored positions whose logits exist at once: bounds memory by the vocabulary, not by the batch.
LOGIT_ROWS = 2048

# A model that must give its own logits gives them for every position. Batches are made such that they are this many
# numbers at most (1 GB in float32), or as many as a single longer text needs.
WHOLE_LOGITS = 2**28

# Config entries of models that change logits after the output layer (Gemma 2, Cohere, Granite, MPT ...).
LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


# What errors of no class of their own say where memory is short.
SHORT_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class HFScorer:
    """A language model that gives token losses (a ``TokenScorer``). Made by ``HFScorer.load``.

    Attributes:
        uri: the model's URI.
        identity: hash of config, tokenizer and weights, and the dtype, as canonical JSON text.
        context: the longest sequence it can score, in tokens.
        batch_tokens: padded tokens a forward pass; a single longer text makes a batch of its own.
    """

    def __init__(self, weights: Weights, uri: str, batch_tokens: int) -> None:
        self.uri = uri
        self.identity = weights.identity
        self.context = weights.context
        self._weights = weights
        with weights.lock:
            self._split = splits_cleanly(weights.model)
        self._original = original_context(weights.model)
        self._template_checked = False
        self.batch_tokens = batch_tokens if self._split else min(batch_tokens, WHOLE_LOGITS // vocabulary(weights))

    @classmethod
    def load(cls, name: str, *, uri: str, batch_tokens: int | None = None, **how: Unpack[Loading]) -> Self:
        """Load a base model.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's URI, for records and messages.
            batch_tokens: padded tokens a forward pass; None for the measured default.
            how: see ``Loading``.

        Raises:
            InputError: a bad option.
            ModelUnavailableError: the model cannot be loaded.
        """
        weights = load_weights(name, uri=uri, **how)
        return cls(weights, uri, batch_tokens or BATCH_TOKENS[weights.model.device.type])

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a raw text with the special tokens that the tokenizer adds by default.

        Raises:
            CallError: the text holds a token that the model does not know.
        """
        return token_ids(self._weights, text, special=True)

    def chat_tokens(self, messages: Sequence[Message], *, generation_prompt: bool) -> list[int]:
        """Token ids of a conversation in the model's chat template.

        Raises:
            InputError: the model has no chat template, or a broken one.
            CallError: the template refuses these messages, or they hold a token that the model does not know.
        """
        if not self._template_checked:
            require_template(self._weights, self.uri)
            self._template_checked = True
        return conversation_tokens(self._weights, self.uri, messages, generation_prompt=generation_prompt)

    def nll(
        self,
        sequences: Sequence[Sequence[int]],
        starts: Sequence[int],
        *,
        ranked: bool = False,
        stop: threading.Event | None = None,
    ) -> "list[np.ndarray | None]":
        """Per-token losses, and how many tokens the model finds likelier.

        A batch for which memory is short is halved. The losses are then those of smaller batches: in float32 a text's
        losses do not depend on its batch beyond rounding (1e-6).

        Args:
            sequences: token ids, one list a text, each at most ``context`` long.
            starts: for each text the first position to score, at least 1.
            ranked: whether ranks are wanted, too.
            stop: set by another thread, it ends the work before the next batch.

        Returns:
            For each text a float64 array of shape [len(sequence) - start]: -log p(token_t | tokens before t) in nats,
            from a float32 log-softmax; with ``ranked`` of shape [2, len(sequence) - start], below the losses the ranks:
            1 + how many tokens have a larger logit. None for a text that the memory does not hold even alone.

        Raises:
            Stopped: ``stop`` was set.
        """
        losses: list[np.ndarray | None] = [None] * len(sequences)
        waiting = batches([len(sequence) for sequence in sequences], self.batch_tokens, self._original)[::-1]
        while waiting:
            if stop is not None and stop.is_set():
                raise Stopped(f"model {self.uri} was told to stop")
            batch = waiting.pop()
            scored = self._fitting([sequences[index] for index in batch], [starts[index] for index in batch], ranked)
            if scored is not None:
                for index, found in zip(batch, scored, strict=True):
                    losses[index] = found
            elif len(batch) > 1:
                waiting += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
        return losses

    def _fitting(
        self, texts: Sequence[Sequence[int]], starts: Sequence[int], ranked: bool
    ) -> "list[np.ndarray] | None":
        """Losses of one batch, or None where memory is short: the error is gone by then, and with it what it held."""
        try:
            with self._weights.lock:
                return self._forward(texts, starts, ranked)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return None

    def _forward(self, texts: Sequence[Sequence[int]], starts: Sequence[int], ranked: bool) -> "list[np.ndarray]":
        """Losses of one batch, and ranks if they are wanted: one forward pass."""
        model: Any = self._weights.model
        width = max(map(len, texts))
        ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts])
        lengths = torch.tensor([len(text) for text in texts]).unsqueeze(1)
        target = torch.arange(1, width)
        scored = (target >= torch.tensor(starts).unsqueeze(1)) & (target < lengths)
        rows, places = scored.to(model.device).nonzero(as_tuple=True)
        ids = ids.to(model.device)
        with torch.inference_mode():
            logits = self._logits(ids)
            parts = [
                _of_logits(logits(row, place).float(), ids[row, place + 1], ranked)
                for row, place in zip(torch.split(rows, LOGIT_ROWS), torch.split(places, LOGIT_ROWS), strict=True)
            ]
        shape = (2, 0) if ranked else (0,)
        found = torch.cat(parts, -1).double().cpu() if parts else torch.empty(shape, dtype=torch.float64)
        counts: list[int] = scored.sum(1).tolist()
        return [part.numpy() for part in torch.split(found, counts, -1)]

    def _logits(self, ids: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Run the model on ``ids`` [texts, width]; gives the logits after chosen rows' places, [chosen, vocabulary]."""
        model: Any = self._weights.model
        if self._split:
            states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            head = model.get_output_embeddings()
            return lambda row, place: head(states[row, place])
        # What happens to logits after the output layer only the model itself knows: take its own, all of them.
        whole = model(input_ids=ids, use_cache=False).logits
        return lambda row, place: whole[row, place]


def _of_logits(logits: torch.Tensor, tokens: torch.Tensor, ranked: bool) -> torch.Tensor:
    """Of logits [chosen, vocabulary] the tokens' losses [chosen], with ``ranked`` above their ranks [2, chosen]."""
    losses = cross_entropy(logits, tokens, reduction="none")
    if not ranked:
        return losses
    larger = (logits > logits.gather(1, tokens.unsqueeze(1))).sum(1)
    return torch.stack((losses, (larger + 1).float()))


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is short: Python's, torch's on a GPU, its allocator's on a CPU, cuBLAS's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in SHORT_MEMORY)


def vocabulary(weights: Weights) -> int:
    """Number of tokens the model knows."""
    return int(weights.model.config.get_text_config().vocab_size)


def batches(lengths: Sequence[int], budget: int, original: float = math.inf) -> list[list[int]]:
    """Texts in batches of similar length, cut where that costs least.

    The cost of a batch is its padded tokens, and ``budget / CALL_SHARE`` more for the call itself: few batches pad
    much, many batches call much. Of all cuts of the texts sorted by length dynamic programming finds the cheapest.

    Args:
        lengths: each text's length in tokens.
        budget: most padded tokens a batch; a longer text is a batch of its own.
        original: tokens of one text beyond which the model's positions are others for all (see ``original_context``).

    Returns:
        Index lists, shortest texts first; the same for the same lengths.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    costs, cuts = [0.0], [0]  # of the first so many texts: the least cost, and where their last batch starts
    for end in range(1, len(order) + 1):
        width = lengths[order[end - 1]]
        least, cut = costs[end - 1] + width, end - 1
        for start in range(end - 2, -1, -1):
            tokens = (end - start) * width
            if tokens > budget or not alike(original, lengths[order[start]], width, width):
                break
            if costs[start] + tokens < least:
                least, cut = costs[start] + tokens, start
        costs.append(least + budget / CALL_SHARE)
        cuts.append(cut)
    made: list[list[int]] = []
    end = len(order)
    while end:
        made.append(order[cuts[end] : end])
        end = cuts[end]
    return made[::-1]


def splits_cleanly(model: Any) -> bool:
    """Whether the model's logits are its output layer applied to its last hidden states, and nothing more.

    The config entries are known cases; the comparison finds those that nobody listed (models with code of their own).
    """
    config = model.config.get_text_config()
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in LOGIT_CHANGES):
        return False
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    probe = torch.arange(8, device=model.device).remainder(config.vocab_size).unsqueeze(0)
    with torch.inference_mode():
        states = getattr(model.base_model(input_ids=probe, use_cache=False), "last_hidden_state", None)
        if states is None or states.shape[-1] != head.weight.shape[-1]:
            return False
        whole = model(input_ids=probe, use_cache=False).logits
        return torch.allclose(head(states).float(), whole.float(), rtol=1e-3, atol=1e-3 * float(whole.abs().max()))
