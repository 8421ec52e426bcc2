from collections.abc import Sequence

import pytest

from evolvent.models.stop_texts import before_stop, tokens_before, tokens_within


@pytest.mark.parametrize(
    ("text", "stop", "before"),
    [("one two", ("t", "e t"), "on"), ("one", ("two",), None), ("two", ("t",), ""), ("two", (), None)],
)
def test_the_first_stop_text_counts(text: str, stop: tuple[str, ...], before: str | None) -> None:
    assert before_stop(text, stop) == before


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        (["one", " two", "\n"], 2),
        (["one", " two", "#", "##"], 2),
        (["one", " two.\n"], 2),  # a token of both
        (["\n"], 0),
        (["", "one", "", "\n", ""], 2),
    ],
)
def test_tokens_before_a_stop_text(pieces: list[str], count: int) -> None:
    def read(tokens: Sequence[int]) -> str:
        return "".join(pieces[token] for token in tokens)

    before = before_stop("".join(pieces), ("\n", "###"))
    assert before is not None
    assert tokens_before(before, range(len(pieces)), read) == count


@pytest.mark.parametrize(
    ("text", "tokens", "count"),
    [
        ("one two", ["one", " two"], 2),
        ("one two", ["one", " two", "<|im_end|>"], 2),
        ("one two", ["one", " two", ""], 2),  # an end token that is not written out
        ("hi 😀", ["hi ", "\ufffd", ""], 2),
        ("one two\n", ["one", " two", "\n", "<|im_end|>"], 3),
        ("one two", ["one", " two", "\n", "<|im_end|>"], 2),  # the server took the line break off
        ("one", ["<think>", "Hm", "</think>", "\n", "one", "<|im_end|>"], 5),  # its reasoning stands elsewhere
        ("one", ["one", "\n", "\n"], 1),  # a stop text
        ("one.", ["one", ".\n", "</s>"], 2),
        ("aaaa", ["aa", "aa"], 2),
        ("", ["</s>"], 0),
        ("", [], 0),
        ("one two", ["▁one", "▁two", "</s>"], 3),  # spelled otherwise: nothing is taken off
    ],
)
def test_tokens_within_a_text(text: str, tokens: list[str], count: int) -> None:
    assert tokens_within(text, [token.encode() for token in tokens]) == count


def test_a_character_of_several_tokens_is_within_the_text() -> None:
    tokens = [b"hi ", b"\xf0\x9f", b"\x98\x80", b"</s>"]
    assert tokens_within("hi 😀", tokens) == 3
