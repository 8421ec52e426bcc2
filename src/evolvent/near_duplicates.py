"""Near-duplicates: texts that have most of their n-grams in common, by MinHash and LSH (rensa), each pair verified.

A text's n-grams are its runs of 5 characters, case, punctuation and the width of characters aside, and of 2 where a
script puts no blanks between words. Two texts are near-duplicates if the n-grams that both have are at least a share of
those that either has (Jaccard). LSH finds the pairs to look at: of those at the very threshold it misses one in a
thousand, of those above it fewer.
"""

import math
import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator

from evolvent.datasets.spooled import spool

SPACED, UNSPACED = 5, 2

# Hashes in a band of LSH, and which share of pairs at the threshold may be missed.
BAND, MISSED = 5, 1e-3

_NO_WORD = re.compile(r"\W+")
_BLANKLESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class SpooledTexts:
    """Texts in a temporary file, to be read in any order once all are written; 8 bytes of memory each."""

    def __init__(self) -> None:
        self._file = spool()
        self._ends = array("Q", [0])

    def append(self, text: str) -> None:
        self._ends.append(self._ends[-1] + self._file.write(text.encode("utf-8", "surrogatepass")))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, position: int) -> str:
        start, end = self._ends[position], self._ends[position + 1]
        self._file.seek(start)
        return self._file.read(end - start).decode("utf-8", "surrogatepass")


def distinct(texts: SpooledTexts, order: Iterable[int], threshold: float) -> Iterator[bool]:
    """For each text in order, whether it is no near-duplicate of one that came before it and was kept.

    Args:
        texts: the texts.
        order: their positions, the best first.
        threshold: the share of n-grams in common, above 0 and up to 1, from which on two are near-duplicates.
    """
    from rensa import RMinHash, RMinHashLSH

    bands = 1 if threshold == 1 else math.ceil(math.log(MISSED) / math.log(1 - threshold**BAND))
    index = RMinHashLSH(threshold, bands * BAND, bands)
    for position in order:
        grams = ngrams(texts[position])
        minhash = RMinHash(bands * BAND, 0)
        minhash.update(list(grams))
        new = not any(_alike(grams, ngrams(texts[other]), threshold) for other in index.query(minhash))
        if new:
            index.insert(position, minhash)
        yield new


def ngrams(text: str) -> set[str]:
    """The n-grams of a text; of one that is shorter, itself."""
    text = _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    if not _BLANKLESS.search(text):
        return {text[start : start + SPACED] for start in range(max(1, len(text) - SPACED + 1))}
    sizes = (UNSPACED if _BLANKLESS.match(char) else SPACED for char in text)
    return {text[start : start + size] for start, size in enumerate(sizes)}


def _alike(one: set[str], other: set[str], threshold: float) -> bool:
    common = len(one & other)
    return common >= threshold * (len(one) + len(other) - common)
