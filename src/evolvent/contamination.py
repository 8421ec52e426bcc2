"""Contamination: test items and training rows that share a run of 13 words (the n of GPT-3, arXiv 2005.14165, App. C).

Both ways: which rows of a training set contain test items (``load_ngrams``, ``contaminated``), and which items of a
test are contained in a training set (``items_within``).

Where a script puts no blanks between words, each character counts as a part of a word, so that a run is

- 20 Chinese or Japanese characters: 1.5 for a word. Of about 1,000 rows each of the English and the Chinese Alpaca of
  LLaMA-Factory, 4 and 2 share such a run with another row (13 characters: 16);
- 39 letters of Thai, Lao, Khmer, Myanmar and their neighbours: 3 for a word, signs above and below not counted.

In a mixed text the parts add up: 7 words and 9 Chinese characters are a run.
"""

import hashlib
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evolvent.datasets.sources import open_source
from evolvent.errors import InputError
from evolvent.records import Record

log = logging.getLogger(__name__)

# What each counts: a word, a Chinese or Japanese character, a letter of South East Asia.
WORD, CHARACTER, LETTER = 3, 2, 1
RUN = 13 * WORD
NEEDED = "13 words, 20 Chinese or Japanese characters or 39 letters of Thai, Lao, Khmer or Myanmar"

# Scripts without blanks, by the classes of Unicode's line breaking (UAX 14): ideographs and kana (ID, CJ), and SA.
CHARACTERS = (
    "\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00016fe4-\U00018cff\U0001aff0-\U0001b16f\U00020000-\U000323af"
)
LETTERS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf\U00011700-\U0001174f"
)

_WORD = re.compile(r"\w+")
_CHARACTER = re.compile(f"[{CHARACTERS}]")
_LETTER = re.compile(f"[{LETTERS}]")


@cache
def _tokens() -> re.Pattern[str]:
    """Words, and one by one the characters of scripts without blanks.

    ``\\w`` leaves out the signs above and below a letter (category M), which would cut the words of Hindi to pieces.
    """
    signs = "".join(chr(code) for code in range(0x300, 0x11A00) if unicodedata.category(chr(code))[0] == "M")
    spaced = rf"[^\W{CHARACTERS}{LETTERS}]"
    return re.compile(rf"(?=\w)[{CHARACTERS}{LETTERS}]|{spaced}+(?:[{signs}]+{spaced}*)*")


def ngrams(text: str) -> Iterator[bytes]:
    """Hashes of the text's runs of 13 words, case, punctuation and the width of characters aside."""
    if text.isascii():
        tokens = _WORD.findall(text.casefold())
    else:
        tokens = _tokens().findall(unicodedata.normalize("NFKC", text).casefold())
    start = size = 0
    for end, token in enumerate(tokens, 1):
        size += _size(token)
        while size >= RUN:
            run = " ".join(tokens[start:end])
            yield hashlib.blake2b(run.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            size -= _size(tokens[start])
            start += 1


def _size(token: str) -> int:
    if len(token) > 1 or token.isascii():
        return WORD
    return CHARACTER if _CHARACTER.match(token) else LETTER if _LETTER.match(token) else WORD


def load_ngrams(files: Sequence[str | Path]) -> set[bytes]:
    """The n-grams of all texts in test files; rows without any are warned of.

    Raises:
        InputError: a file cannot be read, or holds no text of 13 words.
    """
    found: set[bytes] = set()
    for file in files:
        rows = short = 0
        for texts in _rows(Path(file)):
            grams = {gram for text in texts for gram in ngrams(text)}
            rows += 1
            short += not grams
            found |= grams
        if short == rows:
            raise InputError(f"{file} holds no text of {NEEDED}", fix="Nothing could be found contaminated by it.")
        if short:
            log.warning("warning: %s: %s of %s rows hold no text of %s: not looked for", file, short, rows, NEEDED)
    return found


def contaminated(record: Record, tests: Set[bytes]) -> bool:
    """Whether a record's instruction and input, output, or any turn shares an n-gram with the tests."""
    return bool(tests) and any(gram in tests for text in _texts(record) for gram in ngrams(text))


@dataclass(frozen=True, slots=True)
class Contained:
    """What of a test a training set holds.

    Attributes:
        items: the positions of the items that share an n-gram with a row, in order.
        short: the positions of the items that hold no n-gram, so that nothing is known of them, in order.
        rows: how many rows of the training set share an n-gram with an item.
        rows_read: how many rows it has.
    """

    items: tuple[int, ...]
    short: tuple[int, ...]
    rows: int
    rows_read: int


def items_within(items: Iterable[Iterable[str]], training: Iterable[Record]) -> Contained:
    """Which items of a test are contained in a training set; memory grows with the items, not with the training set.

    Args:
        items: the texts of each item: its question, its reference answer.
        training: the rows, read once.
    """
    holders: dict[bytes, list[int]] = {}
    short: list[int] = []
    rows = rows_read = 0
    for position, texts in enumerate(items):
        grams = {gram for text in texts for gram in ngrams(text)}
        if not grams:
            short.append(position)
        for gram in grams:
            holders.setdefault(gram, []).append(position)
    found: set[int] = set()
    for record in training:
        shared = [holders[gram] for text in _texts(record) for gram in ngrams(text) if gram in holders]
        found.update(*shared)
        rows += bool(shared)
        rows_read += 1
    return Contained(tuple(sorted(found)), tuple(short), rows, rows_read)


def _texts(record: Record) -> set[str]:
    return {record.question, record.output, *(turn["content"] for turn in record.messages or [])}


def _rows(path: Path) -> Iterator[list[str]]:
    """Every text of each row of a file, however deep; a .txt file is one text."""
    if path.suffix == ".txt":
        try:
            yield [path.read_text(encoding="utf-8")]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return
    for placed in open_source(path).read(0):
        if placed.problem:
            raise InputError(f"{path}, line {placed.line}: {placed.problem}")
        yield list(_strings(placed.value))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
