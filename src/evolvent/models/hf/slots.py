"""Keys and values of rows that come and go: a cache whose rows are independent of one another.

transformers' own cache keeps the rows of a batch in step: all are equally long, padded on the left, and each new token
copies the whole of it. Here each row has a slot and fills it from its left end, so that rows of any length decode
together, a new token is written in place, and a slot is taken over by the next row when its own has ended.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

# Room is made for this many more rows, and tokens a row, than are needed: it is seldom made anew.
SPARE_ROWS = 16
SPARE_TOKENS = 64


class SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, both [slots, heads, room, size].

    Masked positions are multiplied by zero, so what stands there has to be a number: slots are zeroed when they are
    made and when they are taken over.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """``keys``, ``values``: tensors of the layer's shape and type; nothing is taken from them."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys[:0, :, :0], values[:0, :, :0]
        self.is_initialized = True

    def make_room(self, rows: int, tokens: int, held: int) -> None:
        """New slots, the first ``held`` of them with what they hold now."""
        self.keys, self.values = (_larger(old, rows, tokens, held) for old in (self.keys, self.values))

    def take_over(self, first: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Fill the slots from ``first`` on with rows of keys and values [rows, heads, tokens, size]."""
        for slots, new in ((self.keys, keys), (self.values, values)):
            slots[first : first + len(new), :, : new.shape[2]] = new
            slots[first : first + len(new), :, new.shape[2] :] = 0

    def copy(self, other: "SlotLayer", source: int, target: int) -> None:
        """Copy one slot of another layer, or of this one, onto one of this."""
        tokens = min(self.keys.shape[2], other.keys.shape[2])
        for slots, others in ((self.keys, other.keys), (self.values, other.values)):
            slots[target, :, :tokens].copy_(others[source, :, :tokens])
            slots[target, :, tokens:] = 0

    def begin(self, rows: torch.Tensor, cached: torch.Tensor, width: int) -> None:
        """Say where the next tokens go, slots and places in them, [rows], and what the longest row has with its own."""
        self._rows = rows
        self._cached = cached
        self._width = width

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token's keys and values a row, [rows, heads, 1, size]; gives all that the rows have."""
        rows = len(key_states)
        self.keys[self._rows, :, self._cached] = key_states[:, :, 0]
        self.values[self._rows, :, self._cached] = value_states[:, :, 0]
        return self.keys[:rows, :, : self._width], self.values[:rows, :, : self._width]

    def get_seq_length(self) -> int:
        """Tokens of the longest row before the next one."""
        return self._width - 1


class SlotCache(Cache):
    """The slots of all layers; rows 0 to n - 1 are in use. Made from the cache of a first prefill."""

    def __init__(self, like: Any) -> None:
        self._slots = [SlotLayer(layer.keys, layer.values) for layer in like.layers]
        self._room = (0, 0)
        super().__init__(layers=[*self._slots])

    def make_room(self, rows: int, tokens: int, held: int) -> None:
        """Have slots for ``rows`` rows of ``tokens`` tokens; the first ``held`` keep what they hold."""
        if rows > self._room[0] or tokens > self._room[1]:
            room = (rows + SPARE_ROWS, tokens + SPARE_TOKENS)
            for layer in self._slots:
                layer.make_room(*room, held)
            self._room = room  # only now: memory may have run out between two layers

    def take_over(self, first: int, prefilled: Any) -> None:
        """Fill the slots from ``first`` on with the rows of a prefilled cache."""
        for layer, new in zip(self._slots, prefilled.layers, strict=True):
            layer.take_over(first, new.keys, new.values)

    def copy(self, other: "SlotCache", source: int, target: int) -> None:
        """Copy one slot of another cache, or of this one, onto one of this."""
        for layer, others in zip(self._slots, other._slots, strict=True):
            layer.copy(others, source, target)

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token, in all layers."""
        both = (part for layer in self._slots for part in (layer.keys, layer.values))
        return sum(part.shape[1] * part.shape[3] * part.element_size() for part in both)

    def begin(self, cached: torch.Tensor, width: int) -> None:
        """Before a step: how many tokens each row has so far, [rows], and how many the longest has with the next."""
        rows = torch.arange(len(cached), device=cached.device)
        for layer in self._slots:
            layer.begin(rows, cached, width)


def _larger(old: torch.Tensor, rows: int, tokens: int, held: int) -> torch.Tensor:
    new = old.new_zeros(rows, old.shape[1], tokens, old.shape[3])
    kept = min(tokens, old.shape[2])
    new[:held, :, :kept] = old[:held, :, :kept]
    return new
