"""Vectors of many texts: of equal ones once, from the call store where they are in it, and into it where they were not.

They are kept as base64 of float32 in calls.sqlite, by the embedder and the text, so that none is ever computed twice.
"""

import base64
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evolvent.call_store.key import call_key

if TYPE_CHECKING:
    import numpy as np

TOGETHER = 256  # texts that are embedded, and then stored, at once: what a kill loses at the most


@dataclass(slots=True)
class Embedded:
    """Vectors of the distinct texts of a set.

    Attributes:
        vectors: float32 of shape [distinct texts, dimensions], on disk.
        copies: for each distinct text, how many of the texts are that one.
    """

    vectors: "np.ndarray"
    copies: list[int] = field(default_factory=list)
    _identity: str = ""
    _places: dict[bytes, int] = field(default_factory=dict)

    def place(self, text: str) -> int:
        """The row of ``vectors`` that is this text's."""
        return self._places[vector_key(self._identity, text)]


def vector_key(identity: str, text: str) -> bytes:
    """The key under which the call store holds a text's vector."""
    return call_key(identity, text)


@asynccontextmanager
async def embedded(texts: Iterable[tuple[str, str]], count: int, stored: Any) -> AsyncIterator[Embedded]:
    """The vectors of texts; they lie in a temporary file for as long as the context lasts.

    In memory are a key and a number a distinct text, and ``TOGETHER`` texts.

    Args:
        texts: each with the id of its record.
        count: how many they are at the most.
        stored: a ``StoredLocal`` of an embedder.

    Raises:
        RunError: the store cannot be written.
    """
    import numpy as np

    model = stored.model
    with TemporaryDirectory(prefix="evolvent-") as folder:
        vectors = np.memmap(Path(folder) / "vectors", np.float32, "w+", shape=(max(count, 1), model.dimensions))
        found = Embedded(vectors, _identity=model.identity)
        missing: list[tuple[int, bytes, str, str]] = []

        async def compute() -> None:
            def run(cancelled: threading.Event) -> "list[np.ndarray]":
                return list(model.embed([text for *_, text in missing], stop=cancelled))

            keys, ids = [key for _, key, _, _ in missing], [name for _, _, name, _ in missing]
            new = await stored.window(keys, ids, "{}", run, _to_json, lambda text: _from_json(text, model.dimensions))
            vectors[[place for place, *_ in missing]] = new
            missing.clear()

        for name, text in texts:
            key = vector_key(model.identity, text)
            place = found._places.setdefault(key, len(found.copies))
            if place < len(found.copies):
                found.copies[place] += 1
                continue
            found.copies.append(1)
            kept = stored.kept(key, lambda text: _from_json(text, model.dimensions))
            if kept is not None:
                vectors[place] = kept
                continue
            missing.append((place, key, name, text))
            if len(missing) == TOGETHER:
                await compute()
        if missing:
            await compute()
        found.vectors = vectors[: len(found.copies)]
        yield found


def _to_json(vector: "np.ndarray") -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _from_json(text: str, dimensions: int) -> "np.ndarray":
    import numpy as np

    vector = np.frombuffer(base64.b64decode(text), "<f4")
    if len(vector) != dimensions:
        raise ValueError(f"{len(vector)} numbers instead of {dimensions}")
    return vector
