import pytest

from evolvent.evolution.salvage import salvage
from evolvent.records import Record

PARENT = Record("s", "s", 0, "Bake bread", input="rye flour, salt")


@pytest.mark.parametrize(
    ("reply", "instruction"),
    [
        ("  Bake rye bread \n", "Bake rye bread"),
        ("#Rewritten Prompt#:\nBake rye bread", "Bake rye bread"),
        ("**Rewritten Prompt:** Bake rye bread", "Bake rye bread"),
        ("Created prompt\nBake rye bread", "Bake rye bread"),
        ("#The Given Prompt#:\nBake bread\n\n#Rewritten Prompt#:\nBake rye bread", "Bake rye bread"),
        ("Bake rye bread\n\n#Created Prompt#:", "Bake rye bread"),
        ("Bake rye bread\n#Rewritten Prompt#:\n", "Bake rye bread"),
        ("#Rewritten Prompt#: #Rewritten Prompt#: Bake", "#Rewritten Prompt#: Bake"),
        ("## A heading\n\nBake rye bread", "Bake rye bread"),
        ("Sure! Here is the rewritten prompt:\n\nBake rye bread", "Bake rye bread"),
        ("Here's a harder version of the instruction: Bake rye bread", "Bake rye bread"),
        ("Certainly! I made it harder.\n\nBake rye bread", "Bake rye bread"),
        ("The new instruction: Bake rye bread", "Bake rye bread"),
        ("```\nBake rye bread\n```", "Bake rye bread"),
        ('"Bake rye bread"', "Bake rye bread"),
        ("Bake rye bread\n\nNote: I added the kind of flour to make it more specific.", "Bake rye bread"),
        ("Bake rye bread\n\nOutput: A loaf", "Bake rye bread"),
        ("Bake rye bread\nInput: rye flour, salt", "Bake rye bread"),
        ("Bake rye bread\nrye flour, salt", "Bake rye bread"),
        # what belongs to the instruction stays
        ("# include <stdio.h>", "# include <stdio.h>"),
        ("Given prompt engineering is hard, explain it.", "Given prompt engineering is hard, explain it."),
        ("Bake bread\n## Notes\nnone", "Bake bread\n## Notes\nnone"),
        ("Write a letter that begins: Here is my answer", "Write a letter that begins: Here is my answer"),
        ("Bake it like this:\n```\nflour\n```\nand say why", "Bake it like this:\n```\nflour\n```\nand say why"),
        ("Okapis live where?", "Okapis live where?"),
        ("#Rewritten Prompt#:", ""),
        ("", ""),
    ],
)
def test_salvage(reply: str, instruction: str) -> None:
    assert salvage(reply, PARENT) == instruction


@pytest.mark.parametrize(
    ("parent", "reply"),
    [
        ("# Python 3\nfor x", "# Python 3\nfor x in y: pass"),
        ("Fill in.\nInput: 3\nOutput:", "Fill in the table.\nInput: 3\nOutput: ?"),
        ('"To be or not to be" is from', '"To be or not to be" is from which play, and who says it'),
    ],
)
def test_what_the_parent_has_itself_stays(parent: str, reply: str) -> None:
    assert salvage(reply, Record("s", "s", 0, parent)) == reply
