"""Models whose positions depend on the longest text that runs with them.

LongRoPE (Phi-3 and later with 128k tokens) turns queries and keys by one set of frequencies as long as no text of a
batch is longer than the original context, and by another as soon as one is. A short text beside a long one then gets
other numbers than alone: rows may share a batch only where all of them would get the same frequencies alone.

Dynamic scaling does so too, but beyond the context that the config names alone, and nothing here goes beyond that.
"""

import math
from collections.abc import Iterator
from typing import Any

LONG_ROPE = ("longrope", "su")  # its name, and its first one


def original_context(model: Any) -> float:
    """Tokens up to which the model's positions are those of short texts; infinite where they never change."""
    config = model.config.get_text_config()
    scaled = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return min(map(float, _originals(config, scaled)), default=math.inf)


def _originals(config: Any, scaled: dict[str, Any]) -> Iterator[int]:
    if scaled.get("rope_type", scaled.get("type")) in LONG_ROPE:
        yield scaled.get("original_max_position_embeddings") or config.original_max_position_embeddings
    for nested in scaled.values():  # some models have one set of frequencies for each kind of layer
        if isinstance(nested, dict):
            yield from _originals(config, nested)


def alike(original: float, shortest: int, longest: int, end: int) -> bool:
    """Whether texts get the positions in a batch that each of them would get alone.

    Args:
        original: see ``original_context``.
        shortest: tokens of the shortest prompt, or of the shortest text where nothing is generated.
        longest: tokens of the longest.
        end: tokens of the longest row, padding included, when the last reply has ended.
    """
    return shortest == longest or end <= original or shortest > original
