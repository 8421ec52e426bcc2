"""Whether a generated text has run into a loop: its end is one unit, again and again."""

import re

# A loop covers so many characters and so many units, white space and numbers of list items apart. Below it are tables,
# refrains, lists of zeros and rows of dashes that people write, and models that find out of it again.
LEAST_CHARACTERS = 400
LEAST_UNITS = 6
# A unit without a letter (zeros, dashes, cells of a table, a decimal fraction) repeats by right more often.
LEAST_WITHOUT_LETTERS = 1600
LONGEST_UNIT = 1200

# Tokens from one look for a loop to the next: a loop is some hundred tokens long.
LOOK_EVERY = 32

# Where text repeats itself, so do its last characters: that is looked for first, and is quick.
PROBE = 48
NUMBERED = re.compile(r"(?m)^([ \t]*)\d{1,4}(?=[.):])")
BLANK = re.compile(r"\s+")


def has_looped(text: str) -> bool:
    """Whether a text ends in a loop: exact repetitions of its last ``unit`` characters, the last one whole or begun.

    White space counts as one space, and numbers at the beginnings of lines ("1.", "2)") as equal, since a model counts
    on while it says the same. It looks at characters, not tokens: what a server streams is judged like what is
    generated here.
    """
    if len(text) < LEAST_CHARACTERS:
        return False
    tail = text[-2 * LONGEST_UNIT * LEAST_UNITS :]
    tail = BLANK.sub(" ", NUMBERED.sub(r"\g<1>0", tail))[-LONGEST_UNIT * LEAST_UNITS :]
    probe = tail[-PROBE:]
    at = len(tail) - PROBE
    while (at := tail.rfind(probe, 0, at + PROBE - 1)) >= 0:
        unit = len(tail) - PROBE - at
        if unit > LONGEST_UNIT:
            return False
        enough = LEAST_CHARACTERS if any(map(str.isalpha, tail[-unit:])) else LEAST_WITHOUT_LETTERS
        covered = max(enough, LEAST_UNITS * unit)
        if covered <= len(tail) and tail[-covered:-unit] == tail[unit - covered :]:
            return True
    return False
