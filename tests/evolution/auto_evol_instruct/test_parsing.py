"""Replies of evolvers, in all the forms that models give them, and what is taken from each."""

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evolvent.evolution.auto_evol_instruct.method import Method, initial_method
from evolvent.evolution.auto_evol_instruct.parsing import (
    final_instruction,
    methods_list,
    paper_instruction,
    without_note,
)

INITIAL = initial_method()
RENAMED = Method(INITIAL.text.replace("#Finally Rewritten Instruction#", "#Polished Task#"))
FINAL = Method(INITIAL.text.replace("#Finally Rewritten Instruction#", "#Final Rewritten Instruction#"))
UNMARKED = Method("**Step 1: Ways**\n**Step 2: Last One**:\nText: {instruction}")

STEPS = """Step 1 #Methods List#:
1. Add a constraint.
2. Ask for reasons.

Step 2 #Plan#:
Use both.
Step 3 #Rewritten Instruction#:
Bake bread in an hour.
"""


@pytest.mark.parametrize(
    "heading",
    [
        "Step 4 #Finally Rewritten Instruction#:\n",
        "Step 4 #Finally Rewritten Instruction#: ",
        "Step 4 #Finally Rewritten Instruction#:",
        "Step 4 #Finally Rewritten Instruction#\n",
        "Step 4 #Finally Rewritten Instruction# ",
        "Step 4: #Finally Rewritten Instruction#\n\n",
        "Step 4:\n#Finally Rewritten Instruction#\n",
        "#Finally Rewritten Instruction#:\n",
        "#Final Rewritten Instruction#:\n",
        "4. #finally rewritten instruction#:\n",
        "4) FINALLY REWRITTEN INSTRUCTION:\n",
        "Step 4 - # Finally  Rewritten Instruction #:\n",
        "(4) #Finally Rewritten Instruction#:\n",
        "Step 4 Finally Rewritten Instruction\n",
        "Finally Rewritten Instruction: ",
        "**Step 4 #Finally Rewritten Instruction#:**\n",
        "**Step 4 #Finally Rewritten Instruction#:** ",
        "**Step 4 #Finally Rewritten Instruction#**: ",
        "**Step 4:** **#Finally Rewritten Instruction#** ",
        "**Step 4:** #Finally Rewritten Instruction#: ",
        "*Step 4 #Finally Rewritten Instruction#*:\n",
        "__Finally Rewritten Instruction__\n",
        "**Finally Rewritten Instruction** ",
        "`#Finally Rewritten Instruction#`: ",
        "* **Finally Rewritten Instruction:** ",
        "### Step 4 #Finally Rewritten Instruction#:\n",
        "## Step 4: Finally Rewritten Instruction\n\n",
        "> Step 4 #Finally Rewritten Instruction#:\n",
        '"#Finally Rewritten Instruction#": ',
        "Step 4 #Finally Rewritten Instruction#：\n",
        "Step 4 (Finally Rewritten Instruction): ",
        "Step 4 [#Finally Rewritten Instruction#]:\n",
        "Step 4 #Finally Rewritten Instruction:#\n",
        "Step 4 #Finally Rewritten Instruction#.\n",
        "Step 4 ##Finally Rewritten Instruction##:\n",
        "Step 4 \\#Finally Rewritten Instruction\\#:\n",
        "Step\u00a04 #Finally Rewritten Instruction#:\u3000",
        "✅ Step 4 → **Finally Rewritten Instruction:**\n",
        "#Step 4 #Finally Rewritten Instruction#:\n",
        "Schritt 4 #Finally Rewritten Instruction#:\n",
        "步骤4：#Finally Rewritten Instruction#：\n",
        "Step 4 #Finally Rewritten Instruction#:\n\n---\n",
        # The body of the steps, or an earlier answer, names it, too.
        'Give only the "#Finally Rewritten Instruction#".\nStep 4 #Finally Rewritten Instruction#:\n',
        "Step 4 #Finally Rewritten Instruction#:\nBake bread fast.\nStep 4 #Finally Rewritten Instruction#:\n",
    ],
)
@pytest.mark.parametrize("method", [INITIAL, FINAL])
@pytest.mark.parametrize("evolved", ["Bake rye bread.", "- **Bake** _rye_ bread:\n#1 `a`"])
def test_headings_of_all_kinds(heading: str, method: Method, evolved: str) -> None:
    assert final_instruction(f"{STEPS}{heading}{evolved}\n", method) == evolved


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Bake rye bread.",
        STEPS,
        STEPS + "Step 4:\nBake rye bread.",
        STEPS + "Step 4 #Finally Rewritten Instruction#:\n \n",
        STEPS + "Finally Rewritten Instruction follows: none.",
        STEPS + "Finally Rewritten Instructions: none.",
        STEPS + "Here is the #Finally Rewritten Instruction#: Bake rye bread.",
        STEPS + "Step 4 #Final Answer#:\nBake rye bread.",
    ],
)
def test_no_instruction(reply: str) -> None:
    assert final_instruction(reply, INITIAL) is None


def test_a_heading_that_begins_like_a_step_s_number() -> None:
    method = Method("#Ways#:\n#Version 2#:\n-\n{instruction}")
    assert final_instruction("#Ways#:\nx\nStep 2 #Version 2#:\nBake it.", method) == "Bake it."
    assert final_instruction("Version 2: Bake it.", method) == "Bake it."


def test_an_empty_last_heading_leaves_the_one_before_it() -> None:
    reply = "#Finally Rewritten Instruction#:\nBake rye bread.\n\nStep 4 #Finally Rewritten Instruction#:\n"
    assert final_instruction(reply, INITIAL) == "Bake rye bread."


def test_the_methods_own_last_heading_decides() -> None:
    reply = STEPS + "Step 4 #Finally Rewritten Instruction#:\nBake rye bread.\nStep 5 #Polished Task#:\nBake it."
    assert final_instruction(reply, RENAMED) == "Bake it."
    assert final_instruction("Step 2 - Last One:\nBake it.", UNMARKED) == "Bake it."
    assert final_instruction("**Step 2: Last One**:\nBake it.", UNMARKED) == "Bake it."


@pytest.mark.parametrize(
    "note",
    [
        "Note: I added a constraint.",
        "\nNote: This rewritten instruction asks for more.",
        "\n**Note:** The original instruction asked for any bread.",
        "\n(I added 2 words.)",
        "\n(Added one word)",
        "\n*(12 words were added to the original instruction.)*",
        "\n(Note: Only 4 words added.)",
        "\n**Explanation**: The rewritten version names the flour.",
        "\n**Explanation:**\n- Added the flour.\n- Kept the rest.",
        "\n### Changes made:\n\n1. Added the flour.",
        "\nThis rewritten instruction is more complex.",
        "\n---\n\n**Note:** I kept the original instruction.",
        "\nI have added 12 words to the instruction.",
        "\nNo changes were made, as the rewritten instruction is reasonable.",
        "\n**Key changes:**\n- Added the flour.",
        "\nModifications made:\n1. Introduced the flour.",
        "\n*Explanation of the changes:* I added the flour.",
    ],
)
def test_notes_about_the_rewriting_are_cut_off(note: str) -> None:
    assert final_instruction(f"#Finally Rewritten Instruction#:\nBake rye bread.\n{note}", INITIAL) == "Bake rye bread."


@pytest.mark.parametrize(
    "own",
    [
        "Note: use SI units.",
        "Note: I added flour.",  # as the first line it is the instruction
        "Mend this text:\nI added two eggs.\n\nI kept them warm.",
        "Bake.\n\nNote: the time complexity does not matter.",
        "Bake.\nExplanation: give one of 20 words.",
        "Bake.\n(10 words)",
        "Bake.\n\nThis is a hard one.",
        "Summarise.\nThe original instruction was lost.",
    ],
)
def test_notes_of_an_instruction_stay(own: str) -> None:
    assert without_note(own) == own


@pytest.mark.parametrize(
    "own", ["Mend this:\n\nNote: I added two eggs.", "Shorten:\n\nThe original prompt was long.", "Mend:\n(Added one)"]
)
def test_what_reads_like_a_note_in_the_parent_is_the_instruction_s(own: str) -> None:
    reply = f"#Finally Rewritten Instruction#:\nIn one hour: {own}"
    assert final_instruction(reply, INITIAL) != f"In one hour: {own}"
    assert final_instruction(reply, INITIAL, own) == f"In one hour: {own}"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ('"Bake rye bread."', "Bake rye bread."),
        ("“Bake rye bread.”", "Bake rye bread."),
        ("**Bake rye bread.**", "Bake rye bread."),
        ("```\nBake rye bread.\n```", "Bake rye bread."),
        ("```text\nBake\n\nrye bread.\n```", "Bake\n\nrye bread."),
        ("```python\nbake()\n```", "```python\nbake()\n```"),
        ("```\na\n```\nand\n```\nb\n```", "```\na\n```\nand\n```\nb\n```"),
        ('"Bread" and "butter"', '"Bread" and "butter"'),
        ("**Bake** and **eat**", "**Bake** and **eat**"),
        ('""', '""'),
        ("---\nBake rye bread.", "Bake rye bread."),
        ("Bake rye bread.\n\n***", "Bake rye bread."),
        ("---\na: 1\n---\nBake it.", "---\na: 1\n---\nBake it."),
        ("Bake:\n---\nrye", "Bake:\n---\nrye"),
    ],
)
def test_what_stands_around_an_instruction(given: str, taken: str) -> None:
    assert final_instruction(f"#Finally Rewritten Instruction#:\n{given}", INITIAL) == taken
    # Where the parent stands in quotes, or has a rule, the evolution may.
    parent = given if "\n---" in given or "***" in given else given[:3] + "\nBake"
    assert final_instruction(f"#Finally Rewritten Instruction#:\n{given}", INITIAL, parent) == given


MARKS = st.sampled_from(["#", "##", "*", "**", "```", ":", "\\", "{}", "{instruction}", "\n", "\n\n", " ", "\t", "é"])
WORDS = st.sampled_from(
    ["Step 1:", "Step 1 #Methods List#:", "#Instruction#:", "Step 4", "1. ", "Note: salt.", "bread"]
)
INSTRUCTIONS = st.one_of(st.text(min_size=1), st.lists(MARKS | WORDS, min_size=1).map("".join))


@given(INSTRUCTIONS, st.sampled_from([INITIAL, RENAMED]), st.sampled_from([":\n", ":\n\n", "\n"]))
def test_whatever_an_instruction_holds_it_comes_back(instruction: str, method: Method, after: str) -> None:
    assume(instruction.strip() and without_note(instruction.strip()) == instruction.strip())
    reply = f"{STEPS}Step 4 #{method.final_heading}#{after}{instruction}\n"
    assert final_instruction(reply, method, parent=instruction.strip()) == instruction.strip()


@pytest.mark.parametrize(
    "mark", ["*", "#", "_", " ", "`", "\n", "(", "Note: ", "\nNote:", "I added", "a ", "#Finally "]
)
def test_what_repeats_without_end_is_read_at_once(mark: str) -> None:
    began = time.process_time()
    final_instruction(f"#Finally Rewritten Instruction#:\nx\n{mark * 3000}", INITIAL)
    final_instruction(f"{mark * 3000}#Finally Rewritten Instruction#:\nx", INITIAL)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "line",
    ["#Finally Rewritten Instruction#:\n", "Finally Rewritten Instruction\n", "#Methods List#: a\n#Plan#:\n", "1. a\n"],
)
def test_a_reply_of_a_megabyte_of_headings_is_read_in_time(line: str) -> None:
    reply = line * (1_000_000 // len(line))
    began = time.process_time()
    final_instruction(reply, INITIAL)
    methods_list(f"#Methods List#:\n{reply}", INITIAL)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("reply", "taken"),
    [
        ("Step 4 #Finally Rewritten Instruction#:\nBake rye bread.", "Bake rye bread."),
        ("Step 4 #Finally Rewritten Instruction#: Bake rye bread.", None),
        (
            "#Finally Rewritten Instruction#:\nA\n#Finally Rewritten Instruction#:\nB",
            "A\n#Finally Rewritten Instruction#:\nB",
        ),
        ("Bake rye bread.", None),
        ("", None),
        ("#Final Rewritten Instruction#:\nBake rye bread.", None),
        ("**Step 4 #Finally Rewritten Instruction#:**\nBake rye bread.", None),
        ("#Finally Rewritten Instruction#:\n  Bake\n\n", "  Bake"),
        ("#Finally Rewritten Instruction#:\n", None),
        ("x #Finally Rewritten Instruction#:\n\n\nBake\nNote: I added it.", "\n\nBake\nNote: I added it."),
    ],
)
def test_paper_1s_code(reply: str, taken: str | None) -> None:
    def reference(text: str) -> str:
        parts = text.strip().split("#Finally Rewritten Instruction#:\n", 1)
        return parts[1] if len(parts) > 1 else ""

    assert paper_instruction(reply, INITIAL) == taken
    assert (paper_instruction(reply, INITIAL) or "") == reference(reply)


@pytest.mark.parametrize(
    ("reply", "taken"),
    [
        (STEPS, "1. Add a constraint.\n2. Ask for reasons."),
        ("**Step 1: #Methods List#**\n- Add\n\n- Ask\n**Step 3: #Rewritten Instruction#**: x", "- Add\n\n- Ask"),
        ("#methods list#: add", "add"),
        ("Step 1 #Methods List#:\nStep 2 #Plan#:\nNone.", None),
        ("Step 2 #Plan#:\nNone.", None),
        ("", None),
    ],
)
def test_methods_list(reply: str, taken: str | None) -> None:
    assert methods_list(reply, INITIAL) == taken


def test_no_methods_list_where_the_method_asks_for_none() -> None:
    assert methods_list("#Aim#:\n1. a", Method("#Aim#:\n#Last#:\n-\n{instruction}")) is None
