import time

import pytest

from evolvent.evolution.requests import asks


@pytest.mark.parametrize(
    "text",
    [
        "Name a bird.",
        "Who wrote Faust",
        "Please also explain why.",
        "Using a loop, print the numbers.",
        "If $x + 2 = 7$, then find $x$.",
        "Let $f(x) = 2x$.\\[y = 3\\]Compute $f(y)$.",
        "Mia has $10. She buys figs for $4 and sells them for $9. How much money does she have?",
        "I'd like a poem about rain.",
        "You are given a string. Your task is the reversal of it.",
        "f(x) = 2x, so f(4) =",
        "Re-order the words: pear, fig",
    ],
)
def test_what_asks(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "The penguin is a bird that swims.",
        "1. Drink water\n2. Sleep well\n3. Walk",
        "When faced with rain, birds hide.",
        "Mia has 4 + 5 = 9 figs.",
        "",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not asks(text)


def test_a_long_text_takes_no_quadratic_time() -> None:
    begun = time.process_time()
    assert not asks("The sea is " + "\\(" * 150_000)
    assert asks("The sea is " + "\\(" * 150_000 + "\nName it.")
    assert time.process_time() - begun < 2
