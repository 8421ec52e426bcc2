import pytest

from evolvent.records import Record
from evolvent.selection.refusals import refuses


def refused(output: str, instruction: str = "Name three rivers.", input: str = "") -> bool:
    return refuses(Record("x", "x", 0, instruction, input, output))


@pytest.mark.parametrize(
    "output",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I can’t assist you.",
        "Sorry, but as an AI language model, I am not able to do this.",
        "As an AI, I do not have access to the internet.",
        "I apologize, but I must decline.",
        "Unfortunately, I cannot tell.",
        "No, I'm sorry but I can't help you write your memoir.",
        "I cannot provide information that could be harmful. It is illegal.",
        "I am unable to find any information on their website.",
        "* I cannot create content of this kind.",
        "I'm an AI language model and I'm unable to draw.",
    ],
)
def test_refusals(output: str) -> None:
    assert refused(output)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Danube, Nile, Amazon. I'm sorry, but I cannot name more.",
        "I'm sorry to hear that your friend is ill.",
        "I can't wait to show you: Danube, Nile, Amazon.",
        "I cannot help the way I feel",
        "No, you cannot cook an egg in the sun.",
        "As an AI, I can't travel, but I can imagine it: the Nile at dawn.",
        "I cannot browse the web. However, I can name three: Danube, Nile, Amazon.",
        "Banks cannot use cash as capital.",
        "As an AI becomes larger, we cannot always see why.",
    ],
)
def test_answers(output: str) -> None:
    assert not refused(output)


@pytest.mark.parametrize(
    "instruction", ["Write an e-mail that turns an offer down.", "Apologize for being late.", "Refuse politely."]
)
def test_where_words_of_that_kind_are_asked_for_they_are_the_answer(instruction: str) -> None:
    assert not refused("I'm sorry, but I can't accept.", instruction)
    assert not refused("I'm sorry, but I can't accept.", "Continue.", instruction)
