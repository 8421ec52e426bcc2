"""Which language a text is in, where that can be told: by py3langid, without code, formulas and links."""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# Characters of a text that are looked at.
LOOKED_AT = 2_000

# Below so many letters, or so sure, the answer is a guess. A character of a script without blanks counts three.
LETTERS = 12
SURE = 0.5

# Signs of code among all characters but blanks, from which on a text is none in a language.
SIGNS = 0.08

# Varieties that share a written language, whose short texts py3langid takes for one another.
_SAME = {"wuu": "zh", "yue": "zh", "nn": "no"}

_NO_LANGUAGE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`"  # code
    r"|\$\$.*?\$\$|\$[^$\n]+\$|\\\[.*?\\\]|\\\(.*?\\\)"  # formulas
    r"|https?://\S+|<[^<>\n]{1,200}>",  # links, tags
    re.DOTALL,
)
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SIGN = re.compile(r"[{}\[\]()<>=;_+*/\\|&#^~]")


def language(text: str) -> str | None:
    """The language of a text, by its two-letter code (ISO 639-1).

    Args:
        text: any text; its first 2,000 characters are looked at.

    Returns:
        The code; None where it cannot be told safely: of short texts, lists of names, numbers, formulas, code, and of
        languages without such a code.
    """
    words = _NO_LANGUAGE.sub(" ", text[:LOOKED_AT])
    letters = sum(map(str.isalpha, words)) + 2 * len(_UNSPACED.findall(words))
    if letters < LETTERS or len(_SIGN.findall(words)) > SIGNS * len("".join(words.split())):
        return None
    code, sure = _identifier().classify(words)
    code = _SAME.get(code, code)
    return code if sure >= SURE and len(code) == 2 else None


def languages() -> list[str]:
    """The codes that ``language`` can answer."""
    return sorted({code for code in (_SAME.get(label, label) for label in _identifier().labels) if len(code) == 2})


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
