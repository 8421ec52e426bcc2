"""A lane: rows that decode together, one token each a step. Any of them may end, leave or join between two steps.

transformers' own cache keeps the rows of a batch in step: all are equally long, padded on the left, and each new token
copies the whole of it. Here each row has a slot and fills it from its left end, so that rows of any length decode
together, a new token is written in place, and a slot is taken over by the next row when its own has ended.

A newcomer's prompt, but for its last token, goes through the model first, in a batch with those near to it in length;
its last token then takes part in the next step like the last token of any other row. Prompts are padded on the right
there, where no token sees the padding. Rows stay dense: the last ones move into the slots of those that have left.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from evolvent.models.hf.batching import Request
from evolvent.models.hf.sampling import Draw, draw

# Room is made for this many more rows, and tokens a row, than are needed: it is seldom made anew.
SPARE_ROWS = 16
SPARE_TOKENS = 64


@dataclass(eq=False, slots=True)
class Row:
    """A request under way: how it is drawn, the tokens of its reply so far, and once it has ended why."""

    request: Request
    draw: Draw
    tokens: list[int] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def length(self) -> int:
        """Tokens of prompt and reply."""
        return len(self.request.prompt) + len(self.tokens)

    @property
    def last(self) -> int:
        """The last token: its keys and values are not cached yet."""
        return self.tokens[-1] if self.tokens else self.request.prompt[-1]


class Lane:
    """Requests under way that decode together, in slots as long as the longest of them.

    Args:
        model: a transformers model for which ``takes_slots`` is true.

    Attributes:
        rows: what is under way, in the order of their slots.
    """

    def __init__(self, model: Any) -> None:
        self.rows: list[Row] = []
        self._model = model
        # What the model calls its cache: transformers 5.24 gave it another name.
        parameters = inspect.signature(model.forward).parameters
        self._argument = "cache" if "cache" in parameters else "past_key_values"
        self._cache: SlotCache | None = None

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token; 0 as long as nothing is held."""
        return self._cache.token_bytes if self._cache else 0

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max((row.length for row in self.rows), default=0)

    @torch.inference_mode()
    def admit(self, requests: Sequence[Request]) -> None:
        """Take requests in: run their prompts through the model in one batch.

        Raises:
            Exception: whatever the model raises; the rows under way are then as before.
        """
        heads = [request.prompt[:-1] or request.prompt for request in requests]
        width = max(map(len, heads))
        ids = torch.tensor([[*head, *[0] * (width - len(head))] for head in heads], device=self._model.device)
        prefilled = DynamicCache(config=self._model.config)
        self._model(input_ids=ids, **{self._argument: prefilled}, use_cache=True, logits_to_keep=1)
        rows_in_flight = len(self.rows)
        cache = SlotCache(prefilled) if self._cache is None else self._cache
        cache.make_room(rows_in_flight + len(requests), max(self.longest, width + 1), rows_in_flight)
        cache.take_over(rows_in_flight, prefilled)
        self._cache = cache  # only now: one that could not be made holds no memory
        self.rows += [Row(request, Draw(request, self._model.device)) for request in requests]

    @torch.inference_mode()
    def take(self, other: "Lane", rows: Sequence[Row]) -> None:
        """Take rows over from another lane, with what is cached of them."""
        assert other._cache is not None
        rows_in_flight = len(self.rows)
        cache = SlotCache(other._cache) if self._cache is None else self._cache
        cache.make_room(rows_in_flight + len(rows), max(self.longest, *(row.length for row in rows)), rows_in_flight)
        for slot, row in enumerate(rows, start=rows_in_flight):
            cache.copy(other._cache, other.rows.index(row), slot)
        self._cache = cache
        self.rows += rows
        other.remove(rows)

    @torch.inference_mode()
    def step(self) -> None:
        """Give every row one token.

        Raises:
            Exception: whatever the model raises.
        """
        tokens = draw(self.logits(), [row.draw for row in self.rows])
        for row, token in zip(self.rows, tokens, strict=True):
            row.tokens.append(token)

    def remove(self, rows: Sequence[Row]) -> None:
        """Take rows out; the last of those that stay move into their slots."""
        if not rows:
            return
        leaving = set(map(id, rows))
        stay = len(self.rows) - len(leaving)
        free = [slot for slot, row in enumerate(self.rows[:stay]) if id(row) in leaving]
        movers = [slot for slot in range(stay, len(self.rows)) if id(self.rows[slot]) not in leaving]
        for source, target in zip(movers, free, strict=True):
            self.rows[target] = self.rows[source]
        del self.rows[stay:]
        if not stay:
            self._cache = None  # memory that one long row needed is given back
        elif movers:
            assert self._cache is not None
            with torch.inference_mode():
                for source, target in zip(movers, free, strict=True):
                    self._cache.copy(self._cache, source, target)

    def logits(self) -> torch.Tensor:
        """Logits after every row's last token, float32 [rows, vocabulary]."""
        assert self._cache is not None
        device = self._model.device
        width = self.longest
        self._cache.make_room(len(self.rows), width, len(self.rows))
        lengths = torch.tensor([row.length for row in self.rows], device=device)
        self._cache.begin(lengths - 1, width)
        logits: torch.Tensor = self._model(
            input_ids=torch.tensor([[row.last] for row in self.rows], device=device),
            attention_mask=self._mask(lengths, width),
            position_ids=(lengths - 1).unsqueeze(1),
            **{self._argument: self._cache},
            use_cache=True,
        ).logits
        return logits[:, -1].float()

    def _mask(self, lengths: torch.Tensor, width: int) -> torch.Tensor:
        """What each row's next token sees: its own past, in the form that the model takes as it is."""
        seen = torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)
        mask = torch.zeros(seen.shape, dtype=self._model.dtype, device=lengths.device)
        return mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)[:, None, None]


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

    def make_room(self, rows: int, tokens: int, rows_in_flight: int) -> None:
        """New slots, the first ``rows_in_flight`` of them with what they hold now."""
        self.keys, self.values = (_larger(old, rows, tokens, rows_in_flight) for old in (self.keys, self.values))

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

    def make_room(self, rows: int, tokens: int, rows_in_flight: int) -> None:
        """Have slots for ``rows`` rows of ``tokens`` tokens; the first ``rows_in_flight`` keep what they hold."""
        if rows > self._room[0] or tokens > self._room[1]:
            room = (rows + SPARE_ROWS, tokens + SPARE_TOKENS)
            for layer in self._slots:
                layer.make_room(*room, rows_in_flight)
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


def _larger(old: torch.Tensor, rows: int, tokens: int, rows_in_flight: int) -> torch.Tensor:
    new = old.new_zeros(rows, old.shape[1], tokens, old.shape[3])
    kept = min(tokens, old.shape[2])
    new[:rows_in_flight, :, :kept] = old[:rows_in_flight, :, :kept]
    return new
