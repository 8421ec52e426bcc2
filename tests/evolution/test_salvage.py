import time

import pytest

from evolvent.evolution.salvage import salvage
from evolvent.records import Record

NEW = "Name the capital and say why."


def parent(instruction: str = "Name the capital.", input: str = "") -> Record:
    return Record("s", "s", 0, instruction, input=input)


@pytest.mark.parametrize(
    "before",
    [
        "Sure! Here is a more complex version:\n\n",
        "Sure, here's the rewritten prompt:\n",
        "Certainly! Here's a revised version of the instruction:\n\n",
        "Of course. I can help with that.\n\nHere is the evolved instruction: ",
        "Here's the rewritten instruction:\n",
        "Rewritten prompt: ",
        "The rewritten prompt is:\n",
        "#Rewritten Prompt#:\n",
        "**Rewritten Prompt:** ",
        "### New instruction\n\n",
        "Created prompt\n",
        "#Rewritten Prompt#: #Rewritten Prompt#: ",
        "I have rewritten the prompt as follows:\n\n",
        "I'd rewrite it like this:\n",
        "My version: ",
        "A harder question would be: ",
        "You could ask:\n",
        "How about this harder version: ",
        "To make it more challenging, try asking: ",
        "Below is the modified instruction:\n",
        "This is a more challenging prompt:\n",
        "Okay, let me make it harder.\n\nNew prompt: ",
        "Certainly! I made it harder.\n\n",
        "The new instruction: ",
        "Absolutely! ",
        "Task: ",
        "Instruction: ",
        "#Given Prompt#:\nName the capital.\n\n#Rewritten Prompt#:\n",
        "I will add one constraint to the original prompt.\n\n#Rewritten Prompt#:\n",
        "Name the capital.\n\n#Rewritten Prompt#:\n",
        "Step 1: a draft.\n#Rewritten Prompt#:\nName it.\n\n#Finally Rewritten Prompt#:\n",
        "## A heading\n\n",
    ],
)
def test_what_stands_before_an_instruction_goes(before: str) -> None:
    assert salvage(before + NEW, parent()) == NEW


@pytest.mark.parametrize(
    "after",
    [
        "\n\n**Explanation:** I added a constraint.",
        "\n\nExplanation:\nThe question now asks for a reason, which takes more thought.",
        "\n\nNote: This version adds a constraint.",
        "\n\nThis version requires a reason as well.",
        "\n\nThis adds a constraint.",
        "\n\nI added a request for a reason to increase the difficulty.",
        "\n\nI've made it harder by adding a reason.",
        "\n\nThe added constraint makes the question more challenging.",
        "\n\nBy adding a reason, the prompt becomes harder.",
        "\n\n---\n\n*Changes made:* added a reason.",
        "\n\n(I added 3 words.)",
        "\n\nLet me know if you need another one!",
        "\n\nI hope this helps.",
        "\n\n#Created Prompt#:",
        "\n#Created Prompt#:\n",
        "\n\n#Rewritten Prompt#:\nName another capital.",
        "\n\n#Answer#:\nParis, since the government is there.",
        "\n\nAnswer: Paris",
        "\n\n**Response:**\nParis",
        "\n\n#SQL Reply#:\nSELECT 1;",
    ],
)
def test_what_stands_behind_an_instruction_goes(after: str) -> None:
    assert salvage(NEW + after, parent()) == NEW


@pytest.mark.parametrize(
    "around",
    [
        "```\n{}\n```",
        "```text\n{}\n```",
        '"{}"',
        "“{}”",
        "'{}'",
        "**{}**",
        "«{}»",
        "Sure! Here's a more complex version:\n\n```\n{}\n```\n\nThis adds a constraint.",
        'Here is the new instruction:\n\n"{}"\n\nIt is longer now, and asks for more.',
        "Here are three rewritten versions:\n\n1. {}\n2. Name the river.\n3. Name the mayor.",
        "{}\n\nOR\n\nName the river and say why.",
    ],
)
def test_what_is_wrapped_around_an_instruction_goes(around: str) -> None:
    assert salvage(around.format(NEW), parent()) == NEW


@pytest.mark.parametrize(
    "own",
    [
        "Explain this code:\n```python\nprint(1)\n```",
        "```python\nprint(1)\n```\nExplain the code above.",
        "Translate into German:\n“Good morning”",
        "Bake bread\n## Notes\nnone",
        "# include <stdio.h>",
        "Write a letter that begins: Here is my answer",
        "Bake it like this:\n```\nflour\n```\nand say why",
        "Okapis live where?",
        "# Report\n\nSummarise it.\n\n## Numbers\n\n3, 4",
        "Given prompt engineering is hard, explain it.",
        "Here is a list of numbers: 3, 4, 5. Add them.",
        "Answer in this form:\n\nAnswer: a number",
        "Sort the numbers.\n\nExample:\nInput: 3, 1\nOutput: 1, 3",
        "List:\n- a reason\n- an example",
        "Write a letter. Note: use no adjectives.",
        "Write a story.\n\nNote: it must rhyme, and must not name the hero.",
        "A recipe says:\n\nI added 3 eggs and 200 g of sugar.\n\nWhy is the cake dry?",
        "Name one: a river or a lake.",
        "I am new at Python and want to print a table. Here is my version: print(table). Make it work.",
        "This question is about trains: how fast is the fastest?",
        'Is "yes" or "no" right?',
        "为什么天空是蓝色的？请用三句话回答。",
        "Nenne drei Gründe.\n\nHinweis: höchstens 30 Wörter.",
        "For a customer-support bot, write three versions of a greeting: one formal, one casual, one funny.",
        "For a bot, write three versions of a greeting:\n- formal\n- casual",
        "You are given two versions of a file: explain how git merges them.",
        "How would you rewrite the following sentence in plain English: The cat sat on the mat?",
        "How would you rewrite this sentence in plain English:\nThe cat sat on the mat",
        "To help a beginner, compare these Python versions: 2.7, 3.6 and 3.12.",
        "As a database teacher, write two instructions for a beginner: one on joins, one on keys.",
        "Write an essay on rivers.\n\nThis essay should mention three specific rivers.",
        "Write a poem about rain.\n\nIt must have a specific rhyme scheme, ABAB.",
        "Explain tides.\n\nThe answer has to be written in plain English, with one specific example.",
        "Write a program that counts words.\n\nThis program should also count lines.",
        "Classify each review as good or bad.\n\nResponse: one word a line.",
        "Create a table of planets.\n\nOutput: a Markdown table with two columns.",
        "Name three rivers.\n\n**Answer:**\nJSON with the keys name and length",
        "Write about tea\nor\ncoffee, whichever you prefer",
        'Here is a prompt:\n"Hello"\nTranslate it into French.',
        'Here are two versions of a sentence:\n"He go"\n"He goes"\nWhich is right?',
        "I have two versions of a poem:\nA rose\nis red\nWhich is better?",
        "This is my first attempt:\nx += 1\nMake it faster.",
    ],
)
def test_what_belongs_to_an_instruction_stays(own: str) -> None:
    assert salvage(own, parent()) == own


@pytest.mark.parametrize(
    "own",
    [
        "# Python 3\nfor x in y: pass",
        "Sure! Say it again.",
        '"Yes," he said.',
        "New prompt:\nbake",
        "Task: bake bread",
        "Here is the rewritten prompt: grade it.",
        "Say it.\n\nOutput: a word",
        "Fill in the table.\nInput: 3\nOutput: ?",
        '"To be or not to be" is from which play, and who says it',
    ],
)
def test_what_the_parent_has_itself_stays(own: str) -> None:
    assert salvage(own, parent(own)) == own


@pytest.mark.parametrize(
    "copied", ["\n#Input#:\n3, 4", "\n\nInput: 3, 4", "\n3, 4", "\n\n**Input:** 3, 4", "\n\nInput: 3, 4\n\nOutput: 7"]
)
def test_the_input_once_more_goes_as_the_record_holds_it(copied: str) -> None:
    assert salvage("Add the numbers twice." + copied, parent("Add the numbers.", "3, 4")) == "Add the numbers twice."


def test_a_new_instruction_beside_the_parent_keeps_its_input() -> None:
    new = "Multiply the numbers.\n3, 4"
    assert salvage(new, parent("Add the numbers.", "3, 4"), breadth=True) == new
    other = "Add the numbers twice.\n\nInput: 5, 6"
    assert salvage(other, parent("Add the numbers.", "3, 4")) == other


@pytest.mark.parametrize("reply", ["", "  \n", "#Rewritten Prompt#:", "Sure!"])
def test_nothing_is_made_of_nothing(reply: str) -> None:
    assert salvage(reply, parent()) in ("", reply)


@pytest.mark.parametrize("unit", ["\n", "`", "#", "1. ", "Input: 3\n", "\n\nthe code ", "\n\nthe code must ask. Ask"])
def test_long_replies_take_no_quadratic_time(unit: str) -> None:
    begun = time.process_time()
    salvage("a" + unit * (300_000 // len(unit)), parent(input="3, 4"))
    assert time.process_time() - begun < 2
