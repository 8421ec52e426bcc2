"""HFEmbedder: an encoder in this process that turns texts into vectors, as sentence-transformers would.

What its folder says is followed: how tokens' vectors are pooled (``1_Pooling/config.json``), how many tokens are read
(``sentence_bert_config.json``). Vectors have length 1 whether the folder asks for that or not: distances need it.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import orjson
import torch

from evolvent.errors import InputError, ModelUnavailableError, RunError
from evolvent.models.folders import Place, find_model
from evolvent.models.hf.loading import ENCODER, Loading, Weights, load_weights
from evolvent.models.hf.scorer import BATCH_TOKENS, batches, out_of_memory
from evolvent.models.protocols import Stopped

if TYPE_CHECKING:
    import numpy as np

# How sentence-transformers calls what is done here, in modules.json (by the last part of a type's name) and in a
# pooling's config.
MODULES = ("Transformer", "Pooling", "Normalize")
POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "last",
}


@dataclass(slots=True)
class HFEmbedder:
    """An Embedder of transformers. Made by ``HFEmbedder.load``.

    Attributes:
        uri: the model's URI as it is written into records.
        identity: pooling, tokens read, dtype, and a hash of config, tokenizer and weights, as canonical JSON text.
        dimensions: numbers in a vector.
        context: tokens of a text that are read, special ones included; a longer text loses its end.
        batch_tokens: padded tokens a forward pass.
    """

    uri: str
    identity: str
    dimensions: int
    context: int
    batch_tokens: int
    _pooling: str
    _weights: Weights

    @classmethod
    def load(cls, name: str, *, uri: str, batch_tokens: int | None = None, **how: Unpack[Loading]) -> Self:
        """Load an encoder for inference.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's URI, for records and messages.
            batch_tokens: padded tokens a forward pass; None for the default.
            how: see ``Loading``.

        Raises:
            InputError: a bad option, or an encoder that is used in a way that is not known here.
            ModelUnavailableError: no such model, no network, weights that cannot be read.
        """
        weights = load_weights(name, uri=uri, kind=ENCODER, **how)
        place = find_model(name, how.get("revision"), uri)
        pooling, longest = _as_saved(place, name, uri)
        context = min(weights.context, longest or weights.context, int(weights.tokenizer.model_max_length))
        identity = orjson.dumps(
            {**orjson.loads(weights.identity), "pooling": pooling, "tokens": context}, option=orjson.OPT_SORT_KEYS
        ).decode()
        size = int(weights.model.config.get_text_config().hidden_size)
        chosen = batch_tokens or BATCH_TOKENS[weights.model.device.type]
        return cls(uri, identity, size, context, chosen, pooling, weights)

    def embed(self, texts: Sequence[str], *, stop: threading.Event | None = None) -> "np.ndarray":
        """The texts' vectors, float32 of shape [texts, dimensions], each of length 1.

        Args:
            texts: the texts; an empty one has a vector, too.
            stop: set by another thread, it ends the work before the next batch.

        Raises:
            Stopped: ``stop`` was set.
            RunError: the memory does not hold a text even alone.
        """
        import numpy as np

        with self._weights.lock:  # the tokenizer's too: what it cuts is set in it
            tokens = [self._tokens(text) for text in texts]
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        waiting = batches([len(ids) for ids in tokens], self.batch_tokens)[::-1]
        while waiting:
            if stop is not None and stop.is_set():
                raise Stopped(f"model {self.uri} was told to stop")
            batch = waiting.pop()
            found = self._fitting([tokens[index] for index in batch])
            if found is not None:
                vectors[batch] = found.numpy()
            elif len(batch) > 1:
                waiting += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
            else:
                raise RunError(
                    f"model {self.uri}: out of memory for a text of {len(tokens[batch[0]])} tokens",
                    fix="Free memory, or name a smaller embedder.",
                )
        return vectors

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self._weights.tokenizer(
            text, truncation=True, max_length=self.context, return_attention_mask=False
        )["input_ids"]
        return found

    def _fitting(self, texts: Sequence[list[int]]) -> torch.Tensor | None:
        """The vectors of a batch, or None where memory is short."""
        try:
            with self._weights.lock:
                return self._forward(texts)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return None

    def _forward(self, texts: Sequence[list[int]]) -> torch.Tensor:
        """The vectors of a batch, [texts, dimensions]: one forward pass."""
        model: Any = self._weights.model
        width, padding = max(map(len, texts)), self._weights.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*text, *[padding] * (width - len(text))] for text in texts])
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
        with torch.inference_mode():
            states = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).last_hidden_state
        states, shown = states.float().cpu(), mask.unsqueeze(-1).float()
        if self._pooling == "mean":
            pooled = (states * shown).sum(1) / shown.sum(1).clamp(min=1e-9)
        elif self._pooling == "cls":
            pooled = states[:, 0]
        else:
            pooled = states[torch.arange(len(texts)), mask.sum(1) - 1]
        return torch.nn.functional.normalize(pooled)


def _as_saved(place: Place, name: str, uri: str) -> tuple[str, int | None]:
    """How an encoder pools, and how many tokens it reads (None: as many as it can), as its files say.

    Raises:
        InputError: in a way that is not known here.
    """
    modules = _side(place, name, "modules.json", uri)
    if modules is None:
        return "mean", None  # as sentence-transformers does with a model that is not its own
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if strange := [kind for kind in kinds if kind not in MODULES]:
        raise InputError(
            f"model {uri}: its modules.json asks for {', '.join(strange)}, which is not known here",
            fix="Name an encoder that pools tokens and nothing more, such as all-mpnet-base-v2.",
        )
    folder = next((module["path"] for module, kind in zip(modules, kinds, strict=True) if kind == "Pooling"), None)
    config = (_side(place, name, f"{folder}/config.json", uri) if folder else None) or {}
    asked = [mode for mode, on in config.items() if mode.startswith("pooling_mode_") and on is True]
    if config.get("pooling_mode"):  # later versions of sentence-transformers name it
        asked = [str(config["pooling_mode"])]
    known = [POOLINGS[mode] for mode in asked if mode in POOLINGS]
    if len(known) != len(asked) or len(known) > 1:
        raise InputError(
            f"model {uri}: it pools by {', '.join(asked)}, which is not known here",
            fix="Name an encoder that pools by the mean, the first or the last token.",
        )
    length = (_side(place, name, "sentence_bert_config.json", uri) or {}).get("max_seq_length")
    return (known or ["mean"])[0], length if isinstance(length, int) else None


def _side(place: Place, name: str, file: str, uri: str) -> Any:
    """What a JSON file beside the weights holds; None if there is none."""
    path: Path | None = place.folder / file
    if place.commit is not None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            path = Path(hf_hub_download(name, file, revision=place.commit))
        except LocalEntryNotFoundError as error:
            raise ModelUnavailableError(
                f"model {uri}: {file} is not in the Hub's cache, and the Hub cannot be reached",
                fix="It says how the model embeds. Load the model once with a network.",
            ) from error
        except EntryNotFoundError:
            path = None
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else None
    except ValueError as error:
        raise ModelUnavailableError(f"model {uri}: {file} is damaged: {error}", fix="Get the model anew.") from error
