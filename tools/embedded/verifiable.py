"""Instructions about the form of an answer drawn from their kinds: functions that check them, cases, texts that follow."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
import re
from dataclasses import dataclass
from typing import Any

from tools.embedded.kinds import KINDS, Kind, Slots
from tools.embedded.words import ADJECTIVES, NOUNS, VERBS, number_word, upper_first, with_articles

_FRAMES = ("{I}.", "{I}.", "{I}.", "Please {i}.", "In your answer, {i}.", "When you answer, {i}.")
_POSITIVE = ("Make sure to {i}.", "You must {i}.", "You have to {i}.", "Be sure to {i}.")
_SENTENCES = (
    "Good luck.",
    "That is all.",
    "Thank you for asking.",
    "Have a nice day.",
    "I hope this helps.",
    "Now it is your turn.",
    "Take care.",
    "Here is my answer.",
    "Let us begin.",
    "Keep it simple.",
    "The {n} decides.",
    "Every {n} counts.",
    "Mind the {a} {n}.",
    "So much for the {n}.",
)


def times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{number_word(n)} times")


def drawn_slots(rng: random.Random, kind: Kind) -> Slots:
    """Values for a kind's slots."""
    low, high = kind.numbers
    n = rng.randint(low, high)
    if n > 20 and rng.random() < 0.8:
        n = 5 * (n // 5)
    letter = rng.choice("abcdefghilmnoprstuwbjkqvwxyz" if kind.name == "avoid letter" else "abcdefghilmnoprstw")
    words = [word for word in NOUNS + ADJECTIVES if word.startswith(letter) and len(word) < 9]
    rng.shuffle(words)
    word, other = rng.sample(NOUNS, 2)
    sentence = rng.choice(_SENTENCES).replace("{n}", rng.choice(NOUNS)).replace("{a}", rng.choice(ADJECTIVES))
    starts = {"a": "Also", "b": "But", "c": "Clearly", "d": "Do it:", "e": "Even so,", "f": "First,", "g": "Generally", "h": "Here", "i": "Indeed,", "l": "Later", "m": "Maybe", "n": "Now", "o": "Often", "p": "Perhaps", "r": "Really,", "s": "So", "t": "Then", "w": "Well,"}  # fmt: skip
    return {
        "n": n, "n1": n + 1, "N": number_word(n), "s": "" if n == 1 else "s", "times": times(n), "w": word, "v": other, "W": upper_first(word), "c": letter, "C": letter.upper(), "q": sentence,
        "c2": starts.get(letter, words[0] if words else letter), "cwords": (words + [letter] * 4)[:6], "l": rng.choice([f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}", f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}", f"{rng.choice(NOUNS)} and {rng.choice(NOUNS)}"]),
        "sep": rng.choice(["***", "---", "###", "|", "//", "+++", "OR", "===", "~~"]), "tag": rng.choice(["p", "b", "answer", "div", "text", "note", "em"]),
    }  # fmt: skip


def filled(text: str, slots: Slots) -> str:
    """A wording or a check with its slots filled; other braces stay."""
    return re.sub(r"\{(n1|n|N|s|times|w|v|W|c|C|q|l|sep|tag)\}", lambda found: str(slots[found[1]]), text)


@dataclass(frozen=True, slots=True)
class Verifiable:
    """An instruction of a kind with its slots."""

    kind: Kind
    slots: Slots
    text: str


def verifiable(rng: random.Random, kind: Kind | None = None) -> Verifiable:
    """An instruction drawn at random."""
    kind = kind or rng.choice(KINDS)
    slots = drawn_slots(rng, kind)
    return Verifiable(kind, slots, worded(rng, kind, slots))


def worded(rng: random.Random, kind: Kind, slots: Slots) -> str:
    """One wording of an instruction as a sentence."""
    phrase = filled(rng.choice(kind.wordings), slots)
    negative = phrase.startswith(("do not", "use neither", "let ", "write without", "use no "))
    frames = _FRAMES if negative else _FRAMES + _POSITIVE
    frame = rng.choice([frame for frame in frames if "answer" not in frame or "answer" not in phrase])
    return re.sub(r'([.?!]")\.$', r"\1", frame.replace("{I}", upper_first(phrase)).replace("{i}", phrase))


def function(rng: random.Random, check: str, slots: Slots) -> str:
    """A check as a Python function; the form of the function is drawn at random."""
    *before, expression = filled(check, slots).split("\n")
    text = "\n".join(before)
    form = rng.random()
    if form < 0.1 and "response.strip()" not in check and "text = " not in check:
        text = ("text = response.strip()\n" + text.replace("response", "text")).rstrip("\n")
        expression = expression.replace("response", "text")
    if form < 0.65 or expression in ("True", "False"):
        end = f"return {expression}"
    elif form < 0.75:
        end = f"result = {expression}\nreturn result"
    else:
        end = f"if {expression}:\n    return True\nreturn False"
    lines = (f"{text}\n{end}" if text else end).split("\n")
    return "def evaluate(response):\n" + "\n".join("    " + line for line in lines)


def verdict(code: str, response: str) -> bool | None:
    """What a function of this grammar says about an answer; None if it raises."""
    names: dict[str, Any] = {}
    try:
        exec(code, names)
        return bool(names["evaluate"](response))
    except Exception:  # a wrong check may raise whatever it likes
        return None


def reference(item: Verifiable) -> str:
    """The function that decides: the first right check, plainly written."""
    *before, expression = filled(item.kind.checks[0], item.slots).split("\n")
    return "def evaluate(response):\n" + "\n".join("    " + line for line in (*before, f"return {expression}"))


def following(rng: random.Random, item: Verifiable, text: str) -> str | None:
    """A text made to follow the instruction, or None where that does not work."""
    code = reference(item)
    for _ in range(3):
        made = item.kind.follow(text, item.slots, rng).strip()
        if made and verdict(code, made):
            return made
    return None


def short_text(rng: random.Random) -> str:
    """A text of three to nine words."""
    noun, other, verb, adjective = rng.choice(NOUNS), rng.choice(NOUNS), rng.choice(VERBS), rng.choice(ADJECTIVES)
    one = rng.choice([
        f"The {noun} is {adjective}.", f"They {verb} the {noun}.", f"We {verb} a {adjective} {noun}.", f"This {noun} is here.", f"I like the {noun}.", f"It is a {adjective} {noun}.", f"You can {verb} it.", f"My {noun} and the {other}.",
    ])  # fmt: skip
    one = with_articles(one)
    return (
        one
        if rng.random() < 0.75
        else one + rng.choice([" It helps.", " That is all.", f" The {other} too.", " Try it."])
    )


def cases(rng: random.Random, item: Verifiable, wrong: float = 0.04) -> list[dict[str, Any]]:
    """Three test cases with both verdicts where that can be had; a verdict is wrong with probability ``wrong``."""
    code = reference(item)
    good: list[str] = []
    bad: list[str] = []
    for _ in range(6):
        text = short_text(rng)
        for made in (
            item.kind.follow(text, item.slots, rng).strip(),
            item.kind.breaks(text, item.slots, rng).strip(),
            text,
        ):
            if not made or len(made) > 160:
                continue
            says = verdict(code, made)
            if says is not None and made not in good + bad:
                (good if says else bad).append(made)
        if len(good) >= 2 and len(bad) >= 2:
            break
    wanted = rng.choice([(1, 2), (2, 1)])
    chosen = [(text, True) for text in good[: wanted[0]]] + [(text, False) for text in bad[: wanted[1]]]
    rest = [(text, True) for text in good[wanted[0] :]] + [(text, False) for text in bad[wanted[1] :]]
    chosen = (chosen + rest)[:3]
    rng.shuffle(chosen)
    return [{"input": text, "output": says if rng.random() >= wrong else not says} for text, says in chosen]
