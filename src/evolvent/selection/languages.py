"""Rows in another language than the one that is wanted."""

import re

from evolvent.datasets.language import language
from evolvent.records import Record

# An answer may well be in another language where the instruction speaks of one.
_NAMES_ONE = re.compile(
    r"\b(translat\w*|language|english|spanish|french|german|italian|portuguese|dutch|swedish|norwegian|danish|polish|"
    r"russian|ukrainian|turkish|greek|latin|arabic|hebrew|hindi|bengali|urdu|persian|chinese|mandarin|cantonese|japanese|"
    r"korean|vietnamese|thai|indonesian|malay|swahili)\b",
    re.IGNORECASE,
)


def in_another_language(record: Record, wanted: str) -> bool | None:
    """Whether a record's instruction, or its answer, is in another language than ``wanted``.

    The answer does not count where the instruction speaks of translating or of a language, in English. None if the
    language of neither can be told.
    """
    asked = language(record.question)
    if asked not in (wanted, None):
        return True
    answered = None if _NAMES_ONE.search(record.question) else language(record.output)
    if answered not in (wanted, None):
        return True
    return None if asked is None and answered is None else False
