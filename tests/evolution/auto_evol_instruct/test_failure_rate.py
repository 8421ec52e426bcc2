"""The three kinds of failure: golden answers, those that another implementation misjudges among them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.evolution.auto_evol_instruct.failure_rate import failure_of, set_apart
from evolvent.models.protocols import Reply

GOLDEN = [
    ("Understood. What should I do next?", "stagnant"),
    ("Thank you for the details! Shall I begin?", "stagnant"),
    ("What would you like me to write about?", "stagnant"),
    ("What's the text?", "stagnant"),
    ("That is correct. Is there anything else?", "stagnant"),
    ("Great! Do you want to add more?", "stagnant"),
    ("UNDERSTOOD, shall we?", "stagnant"),
    ("  \n“Understood.”\n\nAnything else?”  ", "stagnant"),
    ("**Great!** Is there more?**\n", "stagnant"),
    ("> ## thank   you.\nMore?", "stagnant"),
    ("Sure, which list do you mean?", "insufficient"),
    ("sure?", "insufficient"),
    ("- Sure! What is the number?", "insufficient"),
    ("Please provide the text.", "loss"),
    ("I can help. Could you PLEASE\nprovide the table?", "loss"),
    # The first kind that holds.
    ("Understood. Could you please provide the list?", "stagnant"),
    ("Sure, could you please provide the list?", "insufficient"),
    ("Sure, please provide the list.", "loss"),
    # They begin so and do not end with a question, or the other way round.
    ("Understood.", None),
    ("Thank you. Here it is.", None),
    ("Sure, here is the poem: roses are red.", None),
    ("Sure? Yes, here it is.", None),
    ("Would you like more?", None),
    ("I understood. Is that all?", None),
    ("Well, thank you. Is that all?", None),
    # Whole words.
    ("Whatever you do, why not?", None),
    ("Surely not?", None),
    ("Greatly improved, is it?", None),
    ("Pleaseprovide it.", None),
    ("Please provided that.", None),
    ("A full answer.", None),
    ("", None),
    ("error", None),
    # What EvolKit's detector says otherwise: a line end between the words and the question, words of Table 5 ...
    ("Understood.\nWould you like more?", "stagnant"),
    ("Great! Do you want me to go on?", "stagnant"),
    ("What would you like to know?", "stagnant"),
    # ... and a word of its own anywhere before a question mark.
    ("okay so long story, is it right?", None),
    # Here both say the same: the paper's rule takes this full answer for a failure, too.
    ("A full answer. Please provide your own seeds and start the command.", "loss"),
]


@pytest.mark.parametrize(("answer", "kind"), GOLDEN)
def test_the_kinds(answer: str, kind: str | None) -> None:
    assert failure_of(answer) == kind


@given(st.text(), st.sampled_from(["Understood", "thank you", "WHAT", "That is correct", "Great"]))
def test_whatever_stands_between_the_first_words_and_a_question_mark(between: str, begins: str) -> None:
    assert failure_of(f"{begins} {between} ?") == "stagnant"


@given(st.text(alphabet=st.characters(exclude_characters="?")))
def test_without_a_question_mark_only_a_loss_can_be_found(answer: str) -> None:
    assert failure_of(answer) in (None, "loss")
    assert failure_of(f"{answer} please provide {answer}") == "loss"


@pytest.mark.parametrize(
    ("reply", "apart"),
    [
        (Reply("", "stop"), "empty"),
        (Reply(" \n", "length"), "truncated"),
        (Reply("", "stop", refusal="I cannot"), "refused"),
        (Reply("I am SORRY, I cannot.", "stop"), "refused"),
        (Reply("sorry " + "word " * 78, "stop"), "refused"),
        (Reply("sorry " + "word " * 79, "stop"), None),
        (Reply("", "content_filter"), "filtered"),
        (Reply("some of it", "content_filter"), "filtered"),
        (Reply("a long answer that was", "length"), "truncated"),
        (Reply("again and again and", "loop"), "loop"),
        (Reply("", "stop", reasoning="So it is."), "only reasoning"),
        (Reply("An answer.", "stop"), None),
    ],
)
def test_what_is_set_apart(reply: Reply, apart: str | None) -> None:
    assert set_apart(reply) == apart
