import pytest

from evolvent.models.protocols import Reply
from evolvent.responses.answer_rules import eliminate_response
from evolvent.words import STOP_WORDS, other_language


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("I'm sorry, I cannot help.", "sorry"),
        ("SORRY!", "sorry"),
        ("sorry " + "word " * 79, None),
        ("sorry " + "word " * 78, "sorry"),
        ("... !!! ???", "no words"),
        ("It is the same as before.", "no words"),
        ("42", None),
        ("Paris", None),
        ("def f(x): return x", None),
        ("对不起，我不能帮你。sorry", None),
        ("你好", None),
    ],
)
def test_rules(response: str, reason: str | None) -> None:
    assert eliminate_response(Reply(response, "stop")) == reason


def test_a_filtered_answer_is_no_answer() -> None:
    assert eliminate_response(Reply("Half an answ", "content_filter")) == "filtered"
    assert eliminate_response(Reply("A long answer that was cut", "length")) is None
    assert eliminate_response(Reply("", "stop", refusal="No.")) == "refused"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("The oven must be hot before the bread goes in, and stay so.", False),
        ("Der Ofen muß vor dem Backen heiß sein und während der ganzen Zeit heiß bleiben.", True),
        ("Печь должна быть горячей", True),
        ("x² + y² = z²", False),
        ("", False),
        ("12 + 30 = 42", False),
    ],
)
def test_other_language(text: str, other: bool) -> None:
    assert other_language(text) is other


def test_stop_words_are_words() -> None:
    assert all(word.isalpha() and word.islower() for word in STOP_WORDS)
