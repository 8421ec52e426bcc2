"""When a text counts as a loop, and what repeats itself by right."""

import pytest

from evolvent.models.repetition import LEAST_CHARACTERS, LEAST_UNITS, has_looped

PROSE = "Describe how a river valley forms, and name two kinds of rock that it cuts through. "
SENTENCE = "The sum of the numbers is always four, whatever they are. "
ROW = '<tr><td class="cell"></td></tr>\n'

LOOPS = {
    "a sentence": PROSE + SENTENCE * 9,
    "a sentence, the last one begun": PROSE + SENTENCE * 9 + SENTENCE[:20],
    "a word": PROSE + "very " * 100,
    "a letter": PROSE + "a" * 500,
    "a paragraph": PROSE + "\n\n".join([SENTENCE * 2 + PROSE * 4] * 8),
    "counted items": PROSE + "".join(f"{n}. {SENTENCE}\n" for n in range(1, 15)),
    "other white space": PROSE + "".join(SENTENCE + " \n" * (n % 3) for n in range(12)),
    "Chinese": "写一首关于春天的诗。" * 50,
    "zeros without end": "0.1" + "0" * 2000,
    "line breaks and a word": "ok\n" * 300,
}
NO_LOOPS = {
    "nothing": "",
    "a fraction": "The answer is 0." + "3" * 60,
    "zeros": f"[{', '.join(['0'] * 256)}]",
    "a table": "| a | b | c |\n|---|---|---|\n" + "| 0 | 0 | 0 |\n" * 60,
    "rows of CSV": "id,name,value\n" + "".join(f"{n},item {n},0\n" for n in range(200)),
    "a rule": "Title\n" + "=" * 300,
    "ASCII art": ("+" + "-" * 78 + "+\n" + ("|" + " " * 78 + "|\n") * 3) * 5,
    "code with equal lines": "def f():\n" + '    print("hello")\n' * 20,
    "markup": "<table>\n" + ROW * 12 + "</table>",
    "a refrain": "".join(f"Verse {n} sings of something new and far away.\n{SENTENCE * 3}\n" for n in "abcdefghij"),
    "a counted list": "".join(f"{n}. Item {chr(96 + n)}: {PROSE}\n" for n in range(1, 20)),
    "a loop that it found out of": SENTENCE * 12 + "But that is beside the point, so let us begin anew with something.",
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_a_loop(text: str) -> None:
    assert has_looped(text)


@pytest.mark.parametrize("text", NO_LOOPS.values(), ids=NO_LOOPS)
def test_no_loop_at_any_of_its_tokens(text: str) -> None:
    ends = (len(text),) if text.startswith(SENTENCE) else range(0, len(text) + 1, 7)
    assert not any(has_looped(text[:end]) for end in ends)


def test_the_thresholds() -> None:
    assert not has_looped(PROSE + "again and again, "[: LEAST_CHARACTERS // 24] * 24)
    unit = "".join(chr(97 + number * 7 % 26) for number in range(LEAST_CHARACTERS))
    assert has_looped(PROSE + "".join(chr(97 + n * n % 26) + chr(97 + n // 26) for n in range(300)) * LEAST_UNITS)
    assert not has_looped(PROSE + (unit + PROSE) * (LEAST_UNITS - 1))
