"""Cheap measures of how diverse a set of texts is: from their words and bytes, without a model."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from evolvent.metrics.data_set import Figure
from evolvent.near_duplicates import SpooledTexts, distinct

# The share of n-grams in common from which on two instructions are near-duplicates: ``select --dedup 0.8``.
NEAR = 0.8


@dataclass(slots=True)
class Words:
    """What the words of a set's instructions say of its diversity. In memory: a number for each different n-gram."""

    seen: tuple[set[int], set[int], set[int]] = field(default_factory=lambda: (set(), set(), set()))
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    raw: int = 0
    packed: int = 0
    rows: int = 0
    _packer: "zlib._Compress" = field(default_factory=lambda: zlib.compressobj(9))

    def read(self, text: str) -> None:
        """Take a text into account."""
        words = text.casefold().split()
        for n, seen in enumerate(self.seen, 1):
            grams = [hash(tuple(words[start : start + n])) for start in range(len(words) - n + 1)]
            seen.update(grams)
            self.counts[n - 1] += len(grams)
        encoded = text.encode() + b"\n"
        self.raw += len(encoded)
        self.packed += len(self._packer.compress(encoded))
        self.rows += 1

    def figures(self) -> Iterator[Figure]:
        """distinct-n: different n-grams of all (arXiv 1510.03055); and bytes to bytes packed by zlib, more if alike."""
        for n, (seen, count) in enumerate(zip(self.seen, self.counts, strict=True), 1):
            yield Figure(f"distinct-{n}", len(seen) / count if count else None, n=self.rows)
        packed = self.packed + len(self._packer.copy().flush())
        yield Figure("compression ratio", self.raw / packed if self.rows else None, n=self.rows)


def near_duplicates(texts: SpooledTexts, places: Sequence[int]) -> Figure:
    """The share of texts that are near-duplicates of one before them: what ``select --dedup`` would leave out.

    Args:
        texts: the texts, and others.
        places: the positions of those that it is of.
    """
    new = sum(distinct(texts, places, NEAR))
    return Figure(f"near-duplicates ({NEAR:g})", 1 - new / len(places) if places else None, n=len(places))
