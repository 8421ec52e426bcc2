"""Decontamination: rows that share a run of 13 words with a test file (the n of GPT-3, arXiv 2005.14165, App. C)."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evolvent.datasets.sources import open_source
from evolvent.errors import InputError
from evolvent.records import Record

N = 13

_WORD = re.compile(r"\w+")


def ngrams(text: str) -> Iterator[bytes]:
    """Hashes of the text's runs of 13 words, case and punctuation aside."""
    words = _WORD.findall(text.casefold())
    for start in range(len(words) - N + 1):
        run = " ".join(words[start : start + N])
        yield hashlib.blake2b(run.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def load_ngrams(files: Sequence[str | Path]) -> set[bytes]:
    """The n-grams of all texts in test files.

    Raises:
        InputError: a file cannot be read, or holds no text of 13 words.
    """
    found: set[bytes] = set()
    for file in files:
        grams = {gram for text in _texts(Path(file)) for gram in ngrams(text)}
        if not grams:
            raise InputError(f"{file} holds no text of {N} words", fix="Nothing could be found contaminated by it.")
        found |= grams
    return found


def contaminated(record: Record, tests: set[bytes]) -> bool:
    """Whether a record's instruction and input, output, or any turn shares an n-gram with the tests."""
    if not tests:
        return False
    texts = [record.question, record.output, *(turn["content"] for turn in record.messages or [])]
    return any(gram in tests for text in texts for gram in ngrams(text))


def _texts(path: Path) -> Iterator[str]:
    """Every text of a file: a .txt file whole, of other data each string of each row, however deep."""
    if path.suffix == ".txt":
        try:
            yield path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return
    for placed in open_source(path).read(0):
        if placed.problem:
            raise InputError(f"{path}, line {placed.line}: {placed.problem}")
        yield from _strings(placed.value)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
