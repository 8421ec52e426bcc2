import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.errors import InputError
from evolvent.evolution.elimination import REASONS, RULES, _further, check_rules, eliminate, leaks
from evolvent.models.protocols import Reply
from evolvent.records import Message, Record


def seed(instruction: str, input: str = "", output: str = "") -> Record:
    return Record("s", "s", 0, instruction, input=input, output=output)


@pytest.mark.parametrize(
    ("parent", "evolved", "finish", "reason"),
    [
        ("Bake bread", "", "stop", "empty"),
        ("Bake bread", "Bake rye bread", "length", "truncated"),
        ("Bake bread", "Bake rye", "content_filter", "filtered"),
        ("Bake bread", "", "content_filter", "filtered"),
        ("Bake bread", "bake  BREAD!", "stop", "unchanged"),
        ("Bake bread", "Bake rye bread", "stop", None),
        ("Bake bread", "Rewrite the given prompt about bread", "stop", "leak"),
        ("Bake bread", "#Rewritten Prompt#: Bake bread twice", "stop", "leak"),
        ("What is a Given Prompt?", "Explain what a given prompt is to a child.", "stop", None),
        ("Straße", "STRASSE", "stop", "unchanged"),
        ("2+2", "2 + 2?", "stop", "unchanged"),
        ("Add the numbers", "Add the numbers twice\n\n#Input#:\n3 and 4", "stop", "leak"),
        ("Bake bread", "", "length", "truncated"),
    ],
)
def test_eliminate(parent: str, evolved: str, finish: str, reason: str | None) -> None:
    assert eliminate(seed(parent), evolved, Reply(evolved, finish)) == reason


BERRIES = "Mia picks 12 cups of berries and eats 3 of them. How many cups are left?"


@pytest.mark.parametrize(
    ("parent", "evolved", "reason"),
    [
        # a reply instead of an instruction
        ("Name a bird that swims.", "A bird that swims very well is the penguin of the south.", "answered"),
        (BERRIES, "Mia has 12 - 3 = 9 cups of fresh berries left in her basket.", "answered"),
        ("Write a function that adds two numbers.", "def add(first, second): return first + second", "code"),
        ("Write a function.", "Write a function that checks leap years.\n```python\nx = 1\n```", "code"),
        ("Name a bird that swims.", "Name a bird that swims, and explain how its feathers stay dry.", None),
        ("The sun is hot.", "The sun is hot, and its surface measures thousands of degrees.", None),  # it asks nothing
        # the same in other words
        ("Describe the main causes of wind erosion.", "Describe the causes of the wind erosion.", "paraphrase"),
        ("Describe the main causes of wind erosion.", "Describe the main causes of erosion by the wind.", "paraphrase"),
        ("Bake bread", "Bake rye", None),
        # talk about prompts
        ("Bake some rye bread", "To make the prompt harder, ask for several kinds of rye flour.", "meta"),
        ("Write a prompt for a chat bot.", "Write a prompt for a chat bot that sells old bicycles.", None),
        # what has to stay
        (BERRIES, "Tom buys some apples at the market. How many apples does he carry home?", "lost"),
        ("Name a bird that swims.", "Explain the rules of chess to a young child.", "lost"),
        (BERRIES, "Mia picks 12 cups of berries, eats 3 and sells half of the rest. How many are left?", None),
        # what is not there
        ("Count words.", "Count the words of the following paragraph and of its title.", "missing_input"),
        ("Count words.", "Count the words of the following sentence: Birds can fly in the rain.", None),
        # again and again
        ("Name birds.", "Name birds.\nName more swimming birds.\n" + "Name flying birds.\n" * 3, "loop"),
        ("Name birds.", "Name birds that swim and birds that " + "fly over the sea " * 5, "loop"),
        # another language
        (
            "Nenne drei Vögel, die gut schwimmen können.",
            "Name three birds that can swim well, and explain how they find their food.",
            "language",
        ),
        ("Nenne drei Vögel, die gut schwimmen können.", "Nenne drei Vögel, die im Winter gut schwimmen.", None),
        ("请列出三种会游泳的鸟。", "请列出三种会游泳的鸟，并说明它们冬天住在哪里。", None),
    ],
)
def test_rules_on_what_the_evolver_wrote(parent: str, evolved: str, reason: str | None) -> None:
    found = eliminate(seed(parent), evolved, Reply(evolved, "stop"))
    assert found == reason
    if reason:
        assert eliminate(seed(parent), evolved, Reply(evolved, "stop"), without=[reason]) != reason


def test_an_evolution_that_is_the_input_or_the_answer() -> None:
    parent = seed("Correct the sentence.", "He go home.", "He goes home.")
    for evolved in ("He go home.", "“He goes home”"):
        assert eliminate(parent, evolved, Reply(evolved, "stop")) == "equals_input"


def test_words_of_a_demonstration_that_come_back() -> None:
    shown = [
        Message(role="user", content="Task: Explain why bread rises."),
        Message(role="assistant", content="Use at most 80 words a ten-year-old would know."),
        Message(role="user", content="Task: Name a bird that swims."),
    ]
    copied = "Name a bird that swims. Use at most 80 words a ten-year-old likes."
    assert eliminate(seed("Name a bird that swims."), copied, Reply(copied, "stop"), shown) == "prompt_echo"
    assert eliminate(seed("Name a bird that swims."), copied, Reply(copied, "stop")) is None


def test_what_was_added_is_judged_alone() -> None:
    parent = seed("Describe how a mill turns wind into flour.")

    def reason(own: str) -> str | None:
        evolved = f"{parent.instruction} Also explain how {own}"
        return eliminate(parent, evolved, Reply(own, "stop"), own=own)

    assert reason("wind turns into flour.") == "paraphrase"
    assert reason("the miller stores sacks in winter.") is None
    assert reason("it works: Sails turn. The stone moves. Then the grain becomes flour.") == "answered"


def test_breadth_wants_another_task_that_stands_alone() -> None:
    parent = seed("Sort the words by length.", "pear, fig, banana")
    near = "Sort the words by their length."
    other = "Write a haiku about the first snow on a mountain."
    points = "Count the vowels in the given text."
    assert eliminate(parent, near, Reply(near, "stop"), breadth=True) == "paraphrase"
    assert eliminate(parent, other, Reply(other, "stop"), breadth=True) is None
    assert eliminate(parent, points, Reply(points, "stop"), breadth=True) == "missing_input"


@given(st.text(max_size=200), st.text(max_size=200), st.booleans())
def test_any_text_gets_a_known_reason_or_none(parent: str, evolved: str, breadth: bool) -> None:
    known = {None, "empty", *RULES}
    assert eliminate(seed(parent), evolved, Reply(evolved or " ", "stop"), breadth=breadth) in known | {"empty"}


def test_unknown_rules_are_named() -> None:
    check_rules(RULES)
    assert set(RULES) < set(REASONS)
    with pytest.raises(InputError, match="no rule of elimination is named answer"):
        check_rules(["answer"])


def test_a_refusal_is_told_from_nothing() -> None:
    assert eliminate(seed("Bake bread"), "", Reply("", "stop", refusal="No.")) == "refused"


def test_each_leak_counts_alone() -> None:
    assert not leaks("a given prompt", "a GIVEN PROMPT, better")
    assert leaks("a given prompt", "a given prompt, a created prompt")


@pytest.mark.parametrize(
    ("parent", "evolved"),
    [
        ("Nenne drei Vögel.", "Nenne drei Vögel und begründe, warum sie im Winter bleiben."),
        (
            "Erkläre, warum der Himmel blau ist.",
            "Erkläre einem Kind in drei Sätzen, warum der Himmel tagsüber blau ist.",
        ),
        ("Escribe un poema sobre el mar.", "Escribe un poema de ocho versos sobre el mar sin usar la palabra azul."),
        ("解释为什么天空是蓝色的。", "用不超过一百字向小学生解释为什么天空是蓝色的，并举两个例子。"),
        ("Solve $x^2 = 9$.", "Solve $x^2 = 9$ for $x$, and prove that there is no third solution."),
        ("Solve 2x + 3 = 7 for x.", "Solve 2x + 3 = 7 for x, and check the solution by inserting it."),
        (
            "Write a SQL query for the last 10 orders.",
            "Write a SQL query for the last 10 orders whose status is 'open'.",
        ),
        (BERRIES, "Mia picks 15 cups of berries, eats 4, and freezes a third of the rest. How many cups are left?"),
        (
            "Each bus holds 1/6 of 120 people.",
            "Each bus holds one-sixth of the 120 people who wait at the old station.",
        ),
        ("Fix this code:\n```\nx = 1\n```", "Fix this code and add a test that fails before:\n```\nx = 1\n```"),
        ("Sort the list.", "Sort the list without any built-in function. For example, 3 + 4 = 7 comes behind 6."),
        ("Reverse a string.", "Reverse a string that is given as argument, and keep its capital letters in place."),
    ],
)
def test_good_evolutions_pass(parent: str, evolved: str) -> None:
    assert eliminate(seed(parent), evolved, Reply(evolved, "stop")) is None


@pytest.mark.parametrize(
    ("parent", "evolved", "reason"),
    [
        ("Explain how tides work.", "1. The moon pulls the water.\n2. The earth turns.\n3. Ask a sailor.", "answered"),
        ("Set a cookie in PHP.", "setcookie('name', 'value');", "code"),
        ("Select all users.", "-- all users\nSELECT * FROM users;", "code"),
        ("Say “good morning” in Latin.", "Say something polite in Latin, and explain its grammar.", "lost"),
        ("Fix this:\n```\nx = 1\n```", "Fix this program so that it prints three numbers in a row.", "lost"),
        (
            "Jo walks 10 km and runs 20 km. How far is it?",
            "Jo walks 30 km and runs 40 km. How far is it?",
            "paraphrase",
        ),
    ],
)
def test_bad_evolutions_of_more_kinds(parent: str, evolved: str, reason: str) -> None:
    assert eliminate(seed(parent), evolved, Reply(evolved, "stop")) == reason


@pytest.mark.parametrize(
    "evolved",
    [
        "Rewrite the sentence He is here as a question and explain what changes in its grammar.",
        "Write an HTML form with two fields in which the user is asked for a name and an age.",
        "Design a page for a shop where the user wants to compare two phones by their price.",
        "Plan my week so that a new task is added each day and none takes more than an hour.",
        "Write a README with the original instructions for assembly and a list of all tools.",
        "Explain how the shell prompt is built from PS1 and how colours are added to it.",
        "Explain why headwinds make it harder to cycle, and by how much at 20 km/h.",
        "import a repository from Subversion into git and describe how its authors are mapped.",
        "SELECT the best index for this workload and explain why the others are slower.",
        "For each kind of loop in Python, explain when it is used and what it costs:",
        "for each kind of loop in Python, explain when it is used and what it costs:",
        "return the longest word of a sentence and explain how ties are broken.",
    ],
)
def test_everyday_words_are_no_talk_of_prompts_and_no_code(evolved: str) -> None:
    assert eliminate(seed("Write something."), evolved, Reply(evolved, "stop"), without=["lost"]) is None


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import numpy as np\nprint(np.pi)",
        "import java.util.*;\nclass A {}",
        "import x from 'y';",
        "package main",
        "SELECT name FROM users",
        "SELECT * FROM users",
        "CREATE TABLE users (id INT)",
        "UPDATE users SET name = 'a'",
        "for a, b in pairs:\n    pass",
        "if x in (1, 2):\n    pass",
        "return x + 1",
        "public static void main() {",
    ],
)
def test_code_is_still_told(code: str) -> None:
    assert eliminate(seed("Write something."), code, Reply(code, "stop")) == "code"


def test_another_word_that_begins_alike_is_no_addition() -> None:
    evolved = "Write a storyboard for a film"
    assert _further("Write a story", evolved) == ""
    assert _further("Write a story.", "Write a story, and name its hero.") == ", and name its hero."
    assert _further("?!", "Write a story") == ""


def test_a_reply_ended_in_a_loop_is_cut_whatever_rules_are_off() -> None:
    assert eliminate(seed("Bake bread"), "Bake rye bread", Reply("Bake rye bread", "loop"), without=["loop"]) == "loop"


@pytest.mark.parametrize("unit", ["\n", "1,", "1 + ", "rewrite ", ". the answer is "])
def test_long_evolutions_take_no_quadratic_time(unit: str) -> None:
    evolved = "a" + unit * (300_000 // len(unit)) + "?"
    begun = time.process_time()
    eliminate(seed("Name a bird."), evolved, Reply(evolved, "stop"), without=["loop"])
    assert time.process_time() - begun < 2
