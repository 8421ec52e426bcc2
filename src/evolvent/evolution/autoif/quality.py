"""AutoIF, step 8: the score that a judge gave an answer, read out of the judge's reply."""

import re

# What AutoIF's script looks for: not "Score: 8.5", "Score: 9/10", "**Score: 9**", "score: 9" or "Score: 9 ".
PUBLISHED = re.compile(r"Score: (\d+?)$")

# A line's end that gives a score, in the judge's own dress: bold, code, decimals, "/10" or "out of 10", a full stop.
SCORE = re.compile(
    r"\bscore[\s*_`]*[:=][\s*_`]*"
    r"(?P<score>[+-]?\d+(?:\.\d+)?)"
    r"(?:[\s*_`]*(?:/|out\s+of)[\s*_`]*(?P<of>\d+(?:\.\d+)?))?"
    r"[\s*_`.]*$",
    re.IGNORECASE | re.MULTILINE,
)


def quality_score(reply: str, profile: str) -> float | None:
    """The score of a judge's reply, or None if it gives none.

    Args:
        reply: the judge's words.
        profile: ``autoif-code`` reads what AutoIF's script reads, an integer of any size after "Score: " at the end of
            the reply. Any other takes the last line that ends in a score, of 0 to 10.
    """
    if profile == "autoif-code":
        found = PUBLISHED.search(reply)
        return float(found[1]) if found else None
    lines = list(SCORE.finditer(reply))
    if not lines or float(lines[-1]["of"] or 10) != 10:
        return None
    score = float(lines[-1]["score"])
    return score if 0 <= score <= 10 else None
