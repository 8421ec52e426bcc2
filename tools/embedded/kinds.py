"""Kinds of instructions about the form of an answer: wordings, checks right and wrong, texts that follow and break them.

A check is an expression over ``response``, with lines before it where it needs them. Slots: {n} a number, {N} the same
in words, {w} and {v} words, {c} and {C} a letter, {q} a sentence, {l} a few words.
"""
# ruff: noqa: E501, ARG005 - a table reads best with one entry a line; not every way to follow needs every argument.

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.embedded.words import ADJECTIVES, NOUNS, NUMBER_WORDS, lower_first, upper_first

Slots = dict[str, Any]
Make = Callable[[str, Slots, random.Random], str]
COUNTED = (
    *NUMBER_WORDS[1:],
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "more",
    "words",
    "still",
)
_FILL = (
    "That is the main point.",
    "It takes a little time.",
    "A simple plan helps.",
    "Start small and go on.",
    "Ask a friend who knows it.",
    "Most people learn it fast.",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of instruction.

    Args:
        name: what it is about.
        numbers: the least and the greatest {n}.
        wordings: the instruction as imperative phrases without a full stop.
        checks: right ones.
        wrong: ones that look right.
        follow: makes a text follow the instruction, if it can.
        breaks: makes a text break it, if it can.
    """

    name: str
    numbers: tuple[int, int]
    wordings: tuple[str, ...]
    checks: tuple[str, ...]
    wrong: tuple[str, ...]
    follow: Make
    breaks: Make = lambda s, p, r: s


def sentences(text: str) -> list[str]:
    """The sentences of a text without their full stops."""
    return [part.strip() for part in re.split(r"[.!?]+(?:\s+|$)", text) if part.strip()]


def _cut(text: str, count: int, rng: random.Random) -> str:
    """Exactly ``count`` words."""
    words = text.replace("\n", " ").split()
    while len(words) < count:
        words += rng.choice(_FILL).split()
    return " ".join(words[:count]).rstrip(".,;:") + "."


def _items(text: str, count: int, rng: random.Random) -> list[str]:
    """``count`` short items out of a text."""
    items = [upper_first(item) for item in sentences(text)]
    while len(items) < count:
        items.append(rng.choice(_FILL).rstrip("."))
    return items[:count]


def _joined(items: list[str]) -> str:
    return " ".join(item + "." for item in items)


def _counting(count: int) -> str:
    """A text of ``count`` words that shows it."""
    return " ".join(COUNTED[index % len(COUNTED)] for index in range(max(1, count)))


def _fit(words: list[str], good: Callable[[str], bool]) -> str:
    """The words for which something holds, or a plain one."""
    return " ".join(word for word in words if good(word))


def _plain(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", "", text).split()


def _long(text: str, size: int, rng: random.Random) -> str:
    """The text with sentences behind it until it has ``size`` characters."""
    while len(text) < size:
        text += " " + rng.choice(_FILL)
    return text


def _shouted(text: str, count: int) -> str:
    """The text with the first ``count`` words of two letters or more in capitals."""
    words = text.split()
    for place in [place for place, word in enumerate(words) if len(word) > 1 and word.isalpha()][:count]:
        words[place] = words[place].upper()
    return " ".join(words)


def _or_counting(text: str, wanted: int, p: Slots, r: random.Random) -> str:  # noqa: ARG001
    """A counting text for a short base (a test case), the base cut to size otherwise."""
    return _counting(wanted) if len(text.split()) < 10 and r.random() < 0.6 else _cut(text, max(1, wanted), r)


KINDS: tuple[Kind, ...] = (
    Kind("words at most", (3, 60), ("use at most {n} words", "answer in at most {n} words", "write no more than {n} words", "keep the answer to {n} words or fewer", "do not write more than {n} words"),
         ("len(response.split()) <= {n}", "words = response.split()\nlen(words) <= {n}", "not len(response.split()) > {n}", "len(response.split()) < {n} + 1"), ("len(response) <= {n}", "len(response.split()) >= {n}"),
         lambda s, p, r: _or_counting(s, min(len(s.split()), p["n"]), p, r), lambda s, p, r: _counting(p["n"] + r.randint(1, 2)) if p["n"] <= 20 else s),
    Kind("words at least", (3, 40), ("use at least {n} words", "write at least {n} words", "answer in {n} words or more", "do not write fewer than {n} words"),
         ("len(response.split()) >= {n}", "words = response.split()\nlen(words) >= {n}", "not len(response.split()) < {n}"), ("len(response) >= {n}", "len(response.split()) <= {n}"),
         lambda s, p, r: _counting(p["n"] + r.randint(0, 1)) if len(s.split()) < 10 and p["n"] <= 20 else _cut(s, p["n"] + r.randint(1, 5), r), lambda s, p, r: _counting(min(p["n"], 20) - 1)),
    Kind("words exact", (2, 15), ("use exactly {n} words", "answer in exactly {n} words", "write an answer of exactly {n} words", "make the answer {n} words long, no more and no less"),
         ("len(response.split()) == {n}", "words = response.split()\nlen(words) == {n}", "count = 0\nfor word in response.split():\n    count += 1\ncount == {n}"), ("len(response) == {n}", "len(response.split()) >= {n}"),
         lambda s, p, r: _or_counting(s, p["n"], p, r), lambda s, p, r: _counting(p["n"] + r.choice([-1, 1]))),
    Kind("sentences exact", (2, 5), ("write exactly {N} sentences", "answer in exactly {N} sentences", "use {N} sentences, no more and no less"),
         ("response.count('.') + response.count('!') + response.count('?') == {n}", "import re\nparts = [part for part in re.split('[.!?]+', response) if part.strip()]\nlen(parts) == {n}", "import re\nlen(re.findall('[.!?]+', response)) == {n}"), ("len(response.split()) == {n}", "response.count(',') == {n}"),
         lambda s, p, r: _joined(_items(s, p["n"], r)), lambda s, p, r: _joined(_items(s, p["n"] + r.choice([-1, 1]), r))),
    Kind("sentences at most", (1, 4), ("write at most {N} sentence{s}", "answer in no more than {N} sentence{s}", "keep the answer to {N} sentence{s} or fewer"),
         ("response.count('.') + response.count('!') + response.count('?') <= {n}", "import re\nlen(re.findall('[.!?]+', response)) <= {n}", "import re\nparts = [part for part in re.split('[.!?]', response) if part.strip()]\nlen(parts) <= {n}"), ("len(response.split()) <= {n}",),
         lambda s, p, r: _joined(_items(s, r.randint(1, p["n"]), r)), lambda s, p, r: _joined(_items(s, p["n"] + 1, r))),
    Kind("lines exact", (2, 5), ("write exactly {N} lines", "answer in exactly {N} lines", "break the answer into {N} lines"),
         ("len(response.strip().split('\\n')) == {n}", "len(response.strip().splitlines()) == {n}", "response.strip().count('\\n') == {n} - 1"), ("len(response.split()) == {n}", "response.count('\\n') == {n}"),
         lambda s, p, r: "\n".join(_items(s, p["n"], r)), lambda s, p, r: "\n".join(_items(s, p["n"] + r.choice([-1, 1]), r))),
    Kind("one line", (1, 1), ("write everything on one line", "answer in a single line", "do not break the line anywhere"),
         ("'\\n' not in response.strip()", "len(response.strip().splitlines()) == 1", "response.strip().count('\\n') == 0"), ("len(response.split()) == 1",),
         lambda s, p, r: s.replace("\n", " "), lambda s, p, r: "\n".join(_items(s, 2, r))),
    Kind("paragraphs", (2, 4), ("write exactly {N} paragraphs with an empty line between them", "answer in {N} paragraphs that an empty line separates", "split the answer into {N} paragraphs with blank lines between"),
         ("len(response.strip().split('\\n\\n')) == {n}", "parts = [part for part in response.split('\\n\\n') if part.strip()]\nlen(parts) == {n}", "response.strip().count('\\n\\n') == {n} - 1"), ("response.count('\\n') == {n}", "len(response.split()) == {n}"),
         lambda s, p, r: "\n\n".join(item + "." for item in _items(s, p["n"], r)), lambda s, p, r: "\n".join(_items(s, p["n"], r))),
    Kind("begin word", (1, 1), ('begin your answer with the word "{W}"', 'let the first word be "{W}"', 'start with the word "{W}"', 'make "{W}" the first word'),
         ("response.strip().lower().startswith('{w}')", "response.split()[:1] == ['{W}']", "words = response.split()\nbool(words) and words[0].strip(',.:').lower() == '{w}'"), ("'{w}' in response.lower()", "response.startswith('{w}')"),
         lambda s, p, r: p["W"] + " " + lower_first(s)),
    Kind("end word", (1, 1), ('end your answer with the word "{w}"', 'let the last word be "{w}"', 'finish with the word "{w}"', 'make "{w}" the last word'),
         ("response.strip().rstrip('.!?').lower().endswith('{w}')", "words = response.lower().split()\nbool(words) and words[-1].strip('.!?') == '{w}'", "response.lower().strip(' .!?').split()[-1:] == ['{w}']"), ("'{w}' in response.lower()", "response.startswith('{w}')"),
         lambda s, p, r: s.rstrip(".!?") + ", " + p["w"] + "."),
    Kind("end sentence", (1, 1), ('end with the sentence "{q}"', 'close your answer with "{q}"', 'let the last sentence be "{q}"', 'put "{q}" at the very end'),
         ("response.strip().endswith('{q}')", "response.rstrip().lower().endswith('{q}'.lower())", "text = response.strip()\ntext[-len('{q}'):] == '{q}'"), ("'{q}' in response", "response.startswith('{q}')"),
         lambda s, p, r: s + " " + p["q"]),
    Kind("begin sentence", (1, 1), ('begin with the sentence "{q}"', 'open your answer with "{q}"', 'put "{q}" at the very beginning'),
         ("response.strip().startswith('{q}')", "response.lstrip().lower().startswith('{q}'.lower())", "text = response.strip()\ntext[:len('{q}')] == '{q}'"), ("'{q}' in response", "response.endswith('{q}')"),
         lambda s, p, r: p["q"] + " " + s),
    Kind("begin letter", (1, 1), ("begin your answer with the letter {C}", "start with the letter {C}", "let the first letter of the answer be {C}"),
         ("response.strip()[:1].upper() == '{C}'", "response.strip().lower().startswith('{c}')", "text = response.strip()\nbool(text) and text[0] in '{c}{C}'"), ("'{c}' in response", "response.endswith('{c}')"),
         lambda s, p, r: p["c2"] + " " + lower_first(s)),
    Kind("every word letter", (1, 1), ("begin every word with the letter {c}", "use only words that start with the letter {c}", "let each word start with {c}"),
         ("all(word.lower().startswith('{c}') for word in response.split())", "words = response.lower().split()\nbool(words) and all(word[0] == '{c}' for word in words)", "for word in response.lower().split():\n    if not word.startswith('{c}'):\n        return False\nTrue"), ("response.lower().startswith('{c}')", "any(word.startswith('{c}') for word in response.lower().split())"),
         lambda s, p, r: upper_first(" ".join(r.sample(p["cwords"], min(len(p["cwords"]), r.randint(2, 5))))) + "."),
    Kind("every sentence letter", (1, 1), ("begin every sentence with the letter {C}", "start each sentence with the letter {C}", "let all sentences begin with {C}"),
         ("all(part.strip().startswith('{C}') for part in response.split('.') if part.strip())", "parts = [part.strip() for part in response.split('.') if part.strip()]\nall(part[0].upper() == '{C}' for part in parts)", "import re\nparts = [part.strip() for part in re.split('[.!?]', response)]\nall(part.startswith('{C}') for part in parts if part)"), ("response.startswith('{C}')", "all(word.startswith('{C}') for word in response.split())"),
         lambda s, p, r: _joined([p["c2"] + " " + lower_first(item) for item in _items(s, r.randint(1, 2), r)])),
    Kind("avoid letter", (1, 1), ('do not use the letter "{c}"', 'avoid the letter "{c}"', 'write without the letter "{c}"', 'let the letter "{c}" appear nowhere'),
         ("'{c}' not in response.lower()", "response.lower().count('{c}') == 0", "not any(letter in '{c}{C}' for letter in response)"), ("'{c}' in response.lower()", "not response.startswith('{c}')"),
         lambda s, p, r: upper_first(_fit(s.split(), lambda word: p["c"] not in word.lower())), lambda s, p, r: s + " " + p["c2"] + "."),
    Kind("use letter", (1, 3), ('use the letter "{c}" at least {times}', 'let the letter "{c}" appear {times} or more', 'write the letter "{c}" no fewer than {times}'),
         ("response.lower().count('{c}') >= {n}", "sum(letter in '{c}{C}' for letter in response) >= {n}", "letters = [letter for letter in response.lower() if letter == '{c}']\nlen(letters) >= {n}"), ("response.lower().count('{c}') == 0", "len(response.split()) >= {n}"),
         lambda s, p, r: s + " " + _joined([" ".join([upper_first(p["cwords"][0]), *p["cwords"][1 : p["n"]]])]), lambda s, p, r: upper_first(_fit(s.split(), lambda word: p["c"] not in word.lower()))),
    Kind("avoid word", (1, 1), ('do not use the word "{w}"', 'avoid the word "{w}"', 'write without the word "{w}"', 'let the word "{w}" appear nowhere'),
         ("'{w}' not in response.lower()", "response.lower().count('{w}') == 0", "words = [word.strip('.,!?') for word in response.lower().split()]\n'{w}' not in words"), ("'{w}' in response.lower()", "not response.startswith('{w}')"),
         lambda s, p, r: upper_first(_fit(s.split(), lambda word: p["w"] not in word.lower())), lambda s, p, r: s.rstrip(".") + " and a " + p["w"] + "."),
    Kind("avoid both", (1, 1), ('use neither the word "{w}" nor the word "{v}"', 'do not write "{w}" or "{v}"', 'avoid the words "{w}" and "{v}"'),
         ("'{w}' not in response.lower() and '{v}' not in response.lower()", "not any(word in response.lower() for word in ['{w}', '{v}'])", "text = response.lower()\ntext.count('{w}') + text.count('{v}') == 0"), ("'{w}' not in response.lower()", "'{w}' in response and '{v}' in response"),
         lambda s, p, r: s, lambda s, p, r: s.rstrip(".") + " and the " + r.choice([p["w"], p["v"]]) + "."),
    Kind("use word", (1, 1), ('use the word "{w}"', 'include the word "{w}"', 'mention the word "{w}" somewhere', 'let the word "{w}" appear in the answer'),
         ("'{w}' in response.lower()", "response.lower().count('{w}') >= 1", "words = [word.strip('.,!?') for word in response.lower().split()]\n'{w}' in words"), ("response.startswith('{w}')", "'{w}' not in response.lower()"),
         lambda s, p, r: s + " " + f"Think of the {p['w']}."),
    Kind("use both", (1, 1), ('use both the word "{w}" and the word "{v}"', 'include the words "{w}" and "{v}"', 'mention "{w}" as well as "{v}"'),
         ("'{w}' in response.lower() and '{v}' in response.lower()", "all(word in response.lower() for word in ['{w}', '{v}'])", "text = response.lower()\nmin(text.count('{w}'), text.count('{v}')) >= 1"), ("'{w}' in response.lower() or '{v}' in response.lower()", "'{w}' in response.lower()"),
         lambda s, p, r: s + " " + f"Think of the {p['w']} and the {p['v']}.", lambda s, p, r: s + f" Think of the {p['w']}."),
    Kind("word times", (2, 3), ('use the word "{w}" exactly {times}', 'let the word "{w}" appear {times}, no more and no less', 'write "{w}" exactly {times}'),
         ("response.lower().count('{w}') == {n}", "len(response.lower().split('{w}')) == {n} + 1", "import re\nlen(re.findall('{w}', response.lower())) == {n}"), ("'{w}' in response.lower()", "response.lower().count('{w}') > {n}"),
         lambda s, p, r: s + " " + " ".join([f"The {p['w']} helps.", f"So take a {p['w']}.", f"Keep the {p['w']}."][: p["n"]]), lambda s, p, r: s + f" Take a {p['w']}."),
    Kind("lower case", (1, 1), ("use only small letters", "write everything in lower case", "do not use any capital letters", "write without capital letters"),
         ("response == response.lower()", "not any(letter.isupper() for letter in response)", "all(not letter.isupper() for letter in response)"), ("response == response.upper()", "response[0].islower()"),
         lambda s, p, r: s.lower()),
    Kind("upper case", (1, 1), ("use only capital letters", "write everything in capital letters", "write the whole answer in upper case", "do not use any small letters"),
         ("response == response.upper()", "not any(letter.islower() for letter in response)", "all(not letter.islower() for letter in response)"), ("response == response.lower()", "response[0].isupper()"),
         lambda s, p, r: s.upper()),
    Kind("title case", (1, 1), ("begin every word with a capital letter", "write each word with a capital first letter", "capitalise every word"),
         ("all(word[0].isupper() for word in response.split() if word[0].isalpha())", "words = [word for word in response.split() if word[0].isalpha()]\nall(word[:1] == word[:1].upper() for word in words)", "for word in response.split():\n    if word[0].islower():\n        return False\nTrue"), ("response == response.upper()", "response[0].isupper()"),
         lambda s, p, r: " ".join(upper_first(word) for word in s.split())),
    Kind("capital words", (1, 3), ("write exactly {N} word{s} in capital letters", "put exactly {N} word{s} in capitals", "let exactly {N} word{s} be all capitals"),
         ("sum(len(word) > 1 and word.isupper() for word in response.split()) == {n}", "words = [word for word in response.split() if len(word) > 1 and word.isupper()]\nlen(words) == {n}", "import re\nlen(re.findall('[A-Z][A-Z]+', response)) == {n}"), ("response.isupper()", "len(response.split()) == {n}"),
         lambda s, p, r: _shouted(s, p["n"])),
    Kind("no commas", (1, 1), ("do not use any commas", "write without commas", "avoid commas", "use no comma"),
         ("',' not in response", "response.count(',') == 0", "not any(letter == ',' for letter in response)"), ("response.count(',') <= 1", "'.' not in response"),
         lambda s, p, r: s.replace(",", ""), lambda s, p, r: "Well, " + lower_first(s)),
    Kind("commas exact", (1, 4), ("use exactly {N} comma{s}", "write exactly {N} comma{s}", "let the answer have {N} comma{s}, no more and no less"),
         ("response.count(',') == {n}", "len(response.split(',')) == {n} + 1", "sum(letter == ',' for letter in response) == {n}"), ("response.count(',') >= {n}", "response.count('.') == {n}"),
         lambda s, p, r: ", ".join(["Well", "yes", "then", "so"][: p["n"]]) + ", " + lower_first(s.replace(",", "")), lambda s, p, r: ", ".join(["Well", "yes", "then", "so", "now"][: p["n"] + 1]) + ", " + lower_first(s)),
    Kind("question end", (1, 1), ("end with a question mark", "let the last character be a question mark", "close with a question", "finish with a question mark"),
         ("response.strip().endswith('?')", "response.rstrip()[-1:] == '?'", "text = response.strip()\nbool(text) and text[-1] == '?'"), ("'?' in response", "response.endswith('.')"),
         lambda s, p, r: s + " " + r.choice(["Does that help?", "Is that clear?", "What do you think?", "Would you try it?"])),
    Kind("exclamation end", (1, 1), ("end with an exclamation mark", "let the last character be an exclamation mark", "finish with an exclamation mark"),
         ("response.strip().endswith('!')", "response.rstrip()[-1:] == '!'", "text = response.strip()\nbool(text) and text[-1] == '!'"), ("'!' in response", "response.endswith('.')"),
         lambda s, p, r: s.rstrip(".") + "!"),
    Kind("exclamations", (1, 4), ("use exactly {N} exclamation mark{s}", "write exactly {N} exclamation mark{s}", "let the answer hold {N} exclamation mark{s}"),
         ("response.count('!') == {n}", "sum(letter == '!' for letter in response) == {n}", "len(response.split('!')) == {n} + 1"), ("'!' in response", "response.count('?') == {n}"),
         lambda s, p, r: s.rstrip(".") + "!" * p["n"], lambda s, p, r: s.rstrip(".") + "!" * (p["n"] + r.choice([-1, 1]))),
    Kind("questions exact", (1, 3), ("ask exactly {N} question{s}", "use exactly {N} question mark{s}", "write exactly {N} question mark{s}"),
         ("response.count('?') == {n}", "sum(letter == '?' for letter in response) == {n}", "len(response.split('?')) == {n} + 1"), ("'?' in response", "response.count('!') == {n}"),
         lambda s, p, r: s + " " + " ".join(r.sample(["Is that clear?", "Does it help?", "What comes next?"], p["n"])), lambda s, p, r: s + " Why?" * (p["n"] + r.choice([-1, 1]))),
    Kind("every sentence exclaims", (1, 1), ("end every sentence with an exclamation mark", "close each sentence with an exclamation mark", "use exclamation marks in place of full stops"),
         ("'.' not in response and response.strip().endswith('!')", "import re\nset(re.findall('[.!?]', response)) == {'!'}", "text = response.strip()\n'!' in text and '.' not in text and '?' not in text"), ("response.endswith('!') or '.' in response", "'!' in response"),
         lambda s, p, r: s.replace(".", "!")),
    Kind("no punctuation", (1, 1), ("do not use any punctuation", "write without punctuation marks", "use letters, digits and blanks alone", "leave out all punctuation"),
         ("not any(letter in '.,;:!?' for letter in response)", "all(letter.isalnum() or letter.isspace() for letter in response)", "import string\nnot set(response) & set(string.punctuation)"), ("'.' not in response", "response.endswith('.')"),
         lambda s, p, r: re.sub(r"[^\w\s]", "", s)),
    Kind("no full stop", (1, 1), ("do not use any full stops", "write without full stops", "avoid the full stop"),
         ("'.' not in response", "response.count('.') == 0", "all(letter != '.' for letter in response)"), ("not response.endswith('.')", "',' not in response"),
         lambda s, p, r: s.replace(". ", "; ").replace(".", "")),
    Kind("bullets", (2, 5), ('write exactly {N} bullet points that begin with "- "', 'answer in {N} bullet points, each with "- " in front', 'give a list of exactly {N} items, each after "- "'),
         ("len([line for line in response.split('\\n') if line.startswith('- ')]) == {n}", "sum(line.strip().startswith('- ') for line in response.splitlines()) == {n}", "lines = [line for line in response.splitlines() if line.startswith('-')]\nlen(lines) == {n}"), ("response.count('-') >= {n}", "len(response.split()) == {n}"),
         lambda s, p, r: "\n".join("- " + item for item in _items(s, p["n"], r)), lambda s, p, r: "\n".join("- " + item for item in _items(s, p["n"] + r.choice([-1, 1]), r))),
    Kind("star bullets", (2, 4), ('write exactly {N} points that begin with "* "', 'answer in {N} points, each with a star in front', 'give exactly {N} lines, each after "* "'),
         ("len([line for line in response.split('\\n') if line.startswith('* ')]) == {n}", "sum(line.strip().startswith('*') for line in response.splitlines()) == {n}", "response.count('* ') == {n}"), ("'*' in response", "len(response.split()) == {n}"),
         lambda s, p, r: "\n".join("* " + item for item in _items(s, p["n"], r)), lambda s, p, r: "\n".join("* " + item for item in _items(s, p["n"] + r.choice([-1, 1]), r))),
    Kind("numbered", (2, 5), ("write a numbered list of exactly {N} items", "answer in a list that is numbered from 1 to {n}", "number your points from 1 to {n}, one on each line"),
         ("import re\nlen(re.findall(r'^[0-9]+[.]', response, re.M)) == {n}", "lines = response.strip().split('\\n')\nlen(lines) == {n} and all(line[0].isdigit() for line in lines)", "all(str(i) + '.' in response for i in range(1, {n} + 1)) and '{n1}.' not in response"), ("'{n}.' not in response", "len(response.split()) == {n}"),
         lambda s, p, r: "\n".join(f"{i}. {item}" for i, item in enumerate(_items(s, p["n"], r), 1)), lambda s, p, r: "\n".join(f"{i}. {item}" for i, item in enumerate(_items(s, p["n"] + r.choice([-1, 1]), r), 1))),
    Kind("quotes", (1, 1), ("put the whole answer in double quotation marks", "wrap your answer in double quotes", "begin and end with a double quotation mark"),
         ("response.startswith('\"') and response.endswith('\"')", "text = response.strip()\ntext[:1] == '\"' and text[-1:] == '\"'", "response.strip()[0] == '\"' and response.strip()[-1] == '\"'"), ("'\"' in response", "response.startswith('(')"),
         lambda s, p, r: f'"{s}"'),
    Kind("parentheses", (1, 1), ("put the whole answer in round brackets", "wrap your answer in parentheses", "begin with an opening and end with a closing parenthesis"),
         ("response.startswith('(') and response.endswith(')')", "text = response.strip()\ntext[:1] == '(' and text[-1:] == ')'", "response.strip()[0] == '(' and response.strip()[-1] == ')'"), ("'(' in response", "response.startswith('[')"),
         lambda s, p, r: f"({s})"),
    Kind("some parentheses", (1, 1), ("put at least one remark in parentheses", "use a pair of round brackets somewhere", "write some of the words in parentheses"),
         ("'(' in response and ')' in response", "import re\nbool(re.search(r'[(].+[)]', response))", "response.count('(') >= 1 and response.count(')') >= 1"), ("'[' in response", "response.startswith('(')"),
         lambda s, p, r: s.rstrip(".") + r.choice([" (as a rule).", " (most of the time).", " (with care)."])),
    Kind("square brackets", (1, 3), ("use at least {N} placeholder{s} in square brackets, such as [name]", "include {N} placeholder{s} in square brackets or more", "write {N} or more words in square brackets"),
         ("response.count('[') >= {n} and response.count(']') >= {n}", "import re\nlen(re.findall(r'\\[.+?\\]', response)) >= {n}", "min(response.count('['), response.count(']')) >= {n}"), ("response.count('(') >= {n}", "'[' not in response"),
         lambda s, p, r: s + " Ask " + " and ".join(r.sample(["[name]", "[place]", "[date]", "[address]"], p["n"])) + "."),
    Kind("json key", (1, 1), ('answer with a JSON object that has the key "{w}"', 'write the answer as JSON with the key "{w}"', 'give a JSON object whose key is "{w}"'),
         ("import json\ntry:\n    data = json.loads(response)\nexcept ValueError:\n    return False\nisinstance(data, dict) and '{w}' in data", "import json\ntry:\n    return '{w}' in json.loads(response)\nexcept ValueError:\n    return False\nFalse"), ("'{w}' in response", "response.startswith('{')"),
         lambda s, p, r: '{"' + p["w"] + '": "' + s.replace('"', "'").replace("\n", " ") + '"}', lambda s, p, r: f"{p['w']}: {s}"),
    Kind("json list", (2, 4), ("answer with a JSON list of {N} strings", "write the answer as a JSON list with {N} strings in it", "give a JSON array of exactly {N} strings"),
         ("import json\ntry:\n    data = json.loads(response)\nexcept ValueError:\n    return False\nisinstance(data, list) and len(data) == {n}", "import json\ntry:\n    return len(json.loads(response)) == {n}\nexcept (ValueError, TypeError):\n    return False\nFalse"), ("response.startswith('[')", "response.count(',') == {n}"),
         lambda s, p, r: "[" + ", ".join('"' + item.replace('"', "'") + '"' for item in _items(s, p["n"], r)) + "]", lambda s, p, r: "[" + ", ".join(f'"{item}"' for item in r.sample(NOUNS, p["n"] + r.choice([-1, 1]))) + "]"),
    Kind("separator", (2, 4), ('write {N} parts and separate them with "{sep}"', 'split the answer into {N} parts with "{sep}" between them', 'give {N} answers separated by "{sep}"'),
         ("len(response.split('{sep}')) == {n}", "response.count('{sep}') == {n} - 1", "parts = [part for part in response.split('{sep}') if part.strip()]\nlen(parts) == {n}"), ("'{sep}' in response", "response.count('{sep}') == {n}"),
         lambda s, p, r: f" {p['sep']} ".join(_items(s, p["n"], r)), lambda s, p, r: f" {p['sep']} ".join(_items(s, p["n"] + 1, r))),
    Kind("no repetition", (1, 1), ("use no word twice", "do not repeat any word", "let every word appear only once"),
         ("words = [word.strip('.,!?') for word in response.lower().split()]\nlen(words) == len(set(words))", "import re\nwords = re.findall(r'\\w+', response.lower())\nlen(words) == len(set(words))", "seen = set()\nfor word in response.lower().replace('.', '').split():\n    if word in seen:\n        return False\n    seen.add(word)\nTrue"), ("len(set(response)) == len(response)", "response.count(' ') == 0"),
         lambda s, p, r: upper_first(" ".join(dict.fromkeys(word.lower() for word in _plain(s)))) + ".", lambda s, p, r: s.rstrip(".") + " and " + s.split()[-1].rstrip(".") + " " + s.split()[-1]),
    Kind("short words", (4, 8), ("use only words of at most {n} letters", "let no word have more than {n} letters", "do not use words that are longer than {n} letters"),
         ("all(len(word.strip('.,!?')) <= {n} for word in response.split())", "words = [word.strip('.,;:!?') for word in response.split()]\nmax([len(word) for word in words] or [0]) <= {n}", "not any(len(word.strip('.,!?')) > {n} for word in response.split())"), ("len(response.split()) <= {n}", "all(len(word) >= {n} for word in response.split())"),
         lambda s, p, r: upper_first(_fit(_plain(s), lambda word: len(word) <= p["n"])) + "."),
    Kind("long words", (3, 5), ("use only words of at least {n} letters", "let every word have {n} letters or more", "do not use words that are shorter than {n} letters"),
         ("all(len(word.strip('.,!?')) >= {n} for word in response.split())", "words = [word.strip('.,;:!?') for word in response.split()]\nmin([len(word) for word in words] or [0]) >= {n}", "not any(len(word.strip('.,!?')) < {n} for word in response.split())"), ("len(response.split()) >= {n}", "all(len(word) <= {n} for word in response.split())"),
         lambda s, p, r: upper_first(_fit(_plain(s), lambda word: len(word) >= p["n"])) + "."),
    Kind("equal words", (3, 5), ("use only words of exactly {n} letters", "let every word have {n} letters", "write words of {n} letters and no others"),
         ("all(len(word.strip('.,!?')) == {n} for word in response.split())", "words = [word.strip('.,;:!?') for word in response.split()]\nset(len(word) for word in words) == {{n}}", "for word in response.split():\n    if len(word.strip('.,!?')) != {n}:\n        return False\nTrue"), ("len(response.split()) == {n}", "all(len(word) <= {n} for word in response.split())"),
         lambda s, p, r: upper_first(" ".join(r.sample([word for word in NOUNS if len(word) == p["n"]], 3))) + "."),
    Kind("one long word", (8, 12), ("use at least one word of {n} letters or more", "include a word that has at least {n} letters", "let one word be {n} letters long or longer"),
         ("any(len(word.strip('.,!?')) >= {n} for word in response.split())", "max([len(word.strip('.,!?')) for word in response.split()] or [0]) >= {n}", "words = [word for word in response.split() if len(word.strip('.,!?')) >= {n}]\nlen(words) > 0"), ("len(response) >= {n}", "all(len(word) >= {n} for word in response.split())"),
         lambda s, p, r: s + f" It needs {r.choice(['understanding', 'concentration', 'encouragement', 'communication'])}."),
    Kind("palindrome", (1, 1), ("use at least one palindrome of three letters or more", "include a word that reads the same backwards", "let one word be a palindrome with at least three letters"),
         ("words = [word.strip('.,!?').lower() for word in response.split()]\nany(len(word) > 2 and word == word[::-1] for word in words)", "for word in response.lower().split():\n    word = word.strip('.,!?')\n    if len(word) >= 3 and word == word[::-1]:\n        return True\nFalse", "any(len(word) >= 3 and word == word[::-1] for word in response.lower().replace('.', '').split())"), ("response == response[::-1]", "any(word == word[::1] for word in response.split())"),
         lambda s, p, r: s + f" Do it at {r.choice(['noon'])}." if r.random() < 0.4 else s + f" Keep it {r.choice(['level'])}."),
    Kind("no digits", (1, 1), ("do not use any digits", "write without digits", "write all numbers as words", "avoid digits"),
         ("not any(letter.isdigit() for letter in response)", "import re\nnot re.search('[0-9]', response)", "all(not letter.isdigit() for letter in response)"), ("any(letter.isdigit() for letter in response)", "not response.isdigit()"),
         lambda s, p, r: re.sub(r"\d+", "some", s), lambda s, p, r: s + f" It takes {r.randint(2, 90)} days."),
    Kind("some digit", (1, 1), ("use at least one digit", "include a number in digits", "write at least one number in digits"),
         ("any(letter.isdigit() for letter in response)", "import re\nbool(re.search('[0-9]', response))", "sum(letter.isdigit() for letter in response) >= 1"), ("response.isdigit()", "not any(letter.isdigit() for letter in response)"),
         lambda s, p, r: s + f" It takes {r.randint(2, 90)} days."),
    Kind("digits exact", (1, 3), ("include exactly {N} number{s} in digits", "write exactly {N} number{s} in digits", "use exactly {N} number{s}, written in digits"),
         ("import re\nlen(re.findall('[0-9]+', response)) == {n}", "words = [word.strip('.,!?') for word in response.split()]\nsum(word.isdigit() for word in words) == {n}", "import re\nnumbers = re.findall(r'[0-9]+', response)\nlen(numbers) == {n}"), ("any(letter.isdigit() for letter in response)", "len(response.split()) == {n}"),
         lambda s, p, r: re.sub(r"\d+", "some", s) + " Take " + " or ".join(str(r.randint(2, 60)) for _ in range(p["n"])) + " minutes."),
    Kind("characters at most", (25, 120), ("use at most {n} characters", "keep the answer to {n} characters or fewer", "write no more than {n} characters"),
         ("len(response) <= {n}", "len(response.strip()) <= {n}", "not len(response) > {n}"), ("len(response.split()) <= {n}", "len(response) >= {n}"),
         lambda s, p, r: s[: p["n"]].rsplit(" ", 1)[0].rstrip(".,") + "." if len(s) > p["n"] else s, lambda s, p, r: _long(s, p["n"] + 1, r)),
    Kind("characters at least", (20, 120), ("use at least {n} characters", "write {n} characters or more", "do not write fewer than {n} characters"),
         ("len(response) >= {n}", "len(response.strip()) >= {n}", "not len(response) < {n}"), ("len(response.split()) >= {n}", "len(response) <= {n}"),
         lambda s, p, r: _long(s, p["n"], r), lambda s, p, r: " ".join(s.split()[:2])),
    Kind("title", (1, 1), ("give the answer a title in double angle brackets, such as <<title>>", "put a title like <<title>> above the answer", "begin with a title in << and >>"),
         ("'<<' in response and '>>' in response", "import re\nbool(re.search('<<.+>>', response))", "response.find('<<') >= 0 and response.find('>>') > response.find('<<')"), ("'<' not in response", "response.endswith('>>')"),
         lambda s, p, r: f"<<{upper_first(r.choice(ADJECTIVES))} {r.choice(NOUNS)}>>\n{s}" if len(s.split()) > 9 else f"<<{upper_first(r.choice(NOUNS))}>> {s}"),
    Kind("highlight", (1, 3), ("highlight at least {N} word{s} with stars, such as *word*", "put {N} or more words between single stars", "mark at least {N} word{s} with a star on both sides"),
         ("import re\nlen(re.findall('[*][^*]+[*]', response)) >= {n}", "response.count('*') >= 2 * {n}", "response.count('*') // 2 >= {n}"), ("response.count('*') == {n}", "'*' not in response"),
         lambda s, p, r: " ".join([f"*{word}*" if 1 <= index <= p["n"] else word for index, word in enumerate(s.split())])),
    Kind("postscript", (1, 1), ("add a postscript that begins with P.S.", 'close with a remark after "P.S."', "put a postscript with P.S. at the end"),
         ("'P.S.' in response", "'p.s.' in response.lower()", "response.find('P.S.') >= 0"), ("response.startswith('P.S.')", "response.endswith('P.S.')"),
         lambda s, p, r: s + " P.S. " + r.choice(["Good luck.", "Have fun.", "Take your time.", "Write to me soon."])),
    Kind("quote lines", (1, 1), ('begin every line with "> "', 'put "> " in front of each line', 'let each line start with "> "'),
         ("all(line.startswith('> ') for line in response.split('\\n'))", "all(line.strip().startswith('>') for line in response.strip().splitlines())", "for line in response.strip().split('\\n'):\n    if not line.startswith('>'):\n        return False\nTrue"), ("'>' in response", "response.endswith('>')"),
         lambda s, p, r: "\n".join("> " + item + "." for item in _items(s, r.randint(1, 3), r))),
    Kind("semicolons", (1, 3), ("use exactly {N} semicolon{s}", "write exactly {N} semicolon{s}", "put {N} semicolon{s} in the answer, no more and no less"),
         ("response.count(';') == {n}", "len(response.split(';')) == {n} + 1", "sum(letter == ';' for letter in response) == {n}"), ("response.count(',') == {n}", "response.count(';') > {n}"),
         lambda s, p, r: "; ".join(lower_first(item) if i else item for i, item in enumerate(_items(s, p["n"] + 1, r))) + "."),
    Kind("hyphen", (1, 2), ("use at least {N} word{s} with a hyphen", "include {N} hyphenated word{s} or more", "write at least {N} hyphen{s}"),
         ("response.count('-') >= {n}", "words = [word for word in response.split() if '-' in word.strip('-')]\nlen(words) >= {n}", "sum('-' in word for word in response.split()) >= {n}"), ("'-' not in response", "response.startswith('-')"),
         lambda s, p, r: s + " Use " + " or ".join(r.sample(["a well-known way", "a step-by-step plan", "a part-time helper"], p["n"])) + "."),
    Kind("even words", (1, 1), ("use an even number of words", "let the number of words be even", "write an even number of words"),
         ("len(response.split()) % 2 == 0", "words = response.split()\nlen(words) % 2 == 0", "not len(response.split()) % 2"), ("len(response) % 2 == 0", "len(response.split()) % 2 == 1"),
         lambda s, p, r: _or_counting(s, 2 * max(1, len(s.split()) // 2), p, r), lambda s, p, r: _counting(2 * r.randint(1, 5) - 1)),
    Kind("odd words", (1, 1), ("use an odd number of words", "let the number of words be odd", "write an odd number of words"),
         ("len(response.split()) % 2 == 1", "words = response.split()\nlen(words) % 2 != 0", "bool(len(response.split()) % 2)"), ("len(response) % 2 == 1", "len(response.split()) % 2 == 0"),
         lambda s, p, r: _or_counting(s, 2 * (len(s.split()) // 2) + 1, p, r), lambda s, p, r: _counting(2 * r.randint(1, 5))),
    Kind("same ends", (1, 1), ("begin and end with the same word", "let the first and the last word be the same", "use the first word again as the last one"),
         ("words = [word.strip('.,!?').lower() for word in response.split()]\nlen(words) > 1 and words[0] == words[-1]", "words = response.lower().replace('.', '').replace(',', '').split()\nbool(words) and words[0] == words[-1]"), ("response[0] == response[-1]", "response.split()[0] != response.split()[-1]"),
         lambda s, p, r: f"{p['W']}: {s} Remember the {p['w']}." if r.random() < 0.1 else f"{s.rstrip('.')}, {s.split()[0].lower().strip('.,')}."),
    Kind("alphabetical", (3, 5), ("give {N} words in alphabetical order", "write {N} words that are sorted from A to Z", "list {N} words in the order of the alphabet"),
         ("words = response.lower().replace(',', ' ').replace('.', ' ').split()\nlen(words) == {n} and words == sorted(words)", "import re\nwords = re.findall('[a-z]+', response.lower())\nlen(words) == {n} and sorted(words) == words"), ("response == sorted(response)", "len(response.split()) == {n}"),
         lambda s, p, r: upper_first(", ".join(sorted(r.sample([w for w in NOUNS if len(w) < 7], p["n"])))) + ".", lambda s, p, r: ", ".join(sorted(r.sample([w for w in NOUNS if len(w) < 7], p["n"]), reverse=True)) + "."),
    Kind("colon", (1, 2), ("use exactly {N} colon{s}", "put exactly {N} colon{s} in the answer", "write {N} colon{s}, no more and no less"),
         ("response.count(':') == {n}", "len(response.split(':')) == {n} + 1", "sum(letter == ':' for letter in response) == {n}"), ("response.count(';') == {n}", "response.endswith(':')"),
         lambda s, p, r: ": ".join(["Note", "First"][: p["n"]]) + ": " + lower_first(s)),
    Kind("tag", (1, 1), ("wrap the answer in <{tag}> and </{tag}>", "put the whole answer between <{tag}> and </{tag}>", "begin with <{tag}> and end with </{tag}>"),
         ("response.startswith('<{tag}>') and response.endswith('</{tag}>')", "text = response.strip()\ntext[:len('<{tag}>')] == '<{tag}>' and text.endswith('</{tag}>')", "import re\nbool(re.fullmatch('<{tag}>.*</{tag}>', response.strip(), re.S))"), ("'{tag}' in response", "response.startswith('</{tag}>')"),
         lambda s, p, r: f"<{p['tag']}>{s}</{p['tag']}>"),
    Kind("begin digit", (1, 1), ("begin with a digit", "let the first character be a digit", "start the answer with a number in digits"),
         ("response.strip()[:1].isdigit()", "import re\nbool(re.match('[0-9]', response.strip()))", "text = response.strip()\nbool(text) and text[0] in '0123456789'"), ("any(letter.isdigit() for letter in response)", "response[-1].isdigit()"),
         lambda s, p, r: f"{r.randint(2, 9)} " + r.choice(["things matter here. ", "steps are enough. ", "words first. "]) + s),
    Kind("yes or no", (1, 1), ("answer with yes or no and nothing else", "write only yes or no", "let the whole answer be yes or no"),
         ("response.strip().lower().strip('.') in ['yes', 'no']", "response.lower() in ('yes', 'no', 'yes.', 'no.')", "text = response.strip(' .!').lower()\ntext == 'yes' or text == 'no'"), ("'yes' in response.lower()", "response.startswith('yes')"),
         lambda s, p, r: r.choice(["Yes", "No", "Yes.", "No.", "yes"])),
    Kind("sentence words", (6, 12), ("let no sentence have more than {n} words", "use at most {n} words in each sentence", "keep every sentence to {n} words or fewer"),
         ("all(len(part.split()) <= {n} for part in response.split('.'))", "import re\nall(len(part.split()) <= {n} for part in re.split('[.!?]', response))", "not any(len(part.split()) > {n} for part in response.split('.'))"), ("len(response.split()) <= {n}", "response.count('.') <= {n}"),
         lambda s, p, r: _joined([" ".join(item.split()[: p["n"]]) for item in sentences(s)]), lambda s, p, r: _counting(p["n"] + 1)),
    Kind("underscores", (1, 1), ("write underscores in place of blanks", "join all words with underscores", "use no blanks but underscores between the words"),
         ("' ' not in response.strip()", "' ' not in response.strip() and '_' in response", "len(response.split()) == 1"), ("'_' in response", "response.startswith('_')"),
         lambda s, p, r: s.replace(" ", "_")),
    Kind("contain phrase", (1, 1), ('include the words "{l}"', 'use the phrase "{l}" somewhere', 'let the phrase "{l}" appear in the answer'),
         ("'{l}' in response.lower()", "response.lower().count('{l}') >= 1", "response.lower().find('{l}') != -1"), ("response.startswith('{l}')", "'{l}' not in response.lower()"),
         lambda s, p, r: s + f" It is {p['l']} that counts."),
    Kind("three dots", (1, 1), ("end with three dots", "let the answer end in three dots", 'close with "..."'),
         ("response.strip().endswith('...')", "response.rstrip()[-3:] == '...'", "text = response.strip()\ntext.endswith('...')"), ("response.count('.') == 3", "response.startswith('...')"),
         lambda s, p, r: s.rstrip(".") + "..."),
)  # fmt: skip
