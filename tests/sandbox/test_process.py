from hypothesis import example, given
from hypothesis import strategies as st

from evolvent.sandbox.process import Answer, read_answer
from evolvent.sandbox.verdicts import Verdict


def packed(kind: str, words: str) -> bytes:
    text = words.encode()
    return kind.encode() + len(text).to_bytes(4, "big") + text


words = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=20)
verdicts = st.one_of(st.booleans().map(Verdict), words.map(lambda text: Verdict(None, text)))


@example([Verdict(None, " "), Verdict(None, "a  b")], " a", "b ", True)
@given(st.lists(verdicts), st.none() | words, st.none() | words, st.booleans())
def test_answer_is_read_as_it_was_written(
    found: list[Verdict], problem: str | None, violation: str | None, last: bool
) -> None:
    frames = b"".join(packed("N", v.reason or "") if v.value is None else (b"T" if v.value else b"F") for v in found)
    frames += b"" if problem is None else packed("P", problem)
    frames += b"" if violation is None else packed("V", violation)
    assert read_answer(frames + (b"E" if last else b"")) == Answer(found, problem, violation)


def test_words_cannot_steer_a_terminal() -> None:
    assert read_answer(packed("P", "a\x1b[2J\r\nb\u202e")).problem == r"a\x1b[2J b\u202e"
