"""Short names of models, as tables and figures have them."""

import re
from collections import Counter
from collections.abc import Iterable

from evolvent.errors import InputError
from evolvent.models.uri import parse_uri

# What every file of weights ends in, be it one of several.
SAYS_NOTHING = re.compile(r"(-\d{5}-of-\d{5})?\.gguf$", re.IGNORECASE)


def short_names(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """A short name for each model, numbered where several have the same.

    Args:
        names: URIs as records hold them; what is no URI (a round, say) keeps its name.

    Returns:
        The short names by URI, and a line for each that differs from its URI.
    """
    plain = {name: _plain(name) for name in names}
    counts = Counter(plain.values())
    seen: Counter[str] = Counter()
    short = {}
    for name, word in plain.items():
        seen[word] += 1
        short[name] = f"{word} #{seen[word]}" if counts[word] > 1 else word
    return short, tuple(f"{word}: {name}" for name, word in short.items() if word != name)


def _plain(name: str) -> str:
    try:
        uri = parse_uri(name)
    except InputError:
        return name
    return SAYS_NOTHING.sub("", uri.name.rstrip("/").rpartition("/")[2]) or uri.scheme
