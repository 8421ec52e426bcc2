"""Which tokens make up which loss, and every pair that cannot be scored."""

import re

import jinja2
import pytest

from evolvent.metrics.layout import PairTokens, chat_layout, paper_layout
from evolvent.models.hf.scorer import HFScorer
from evolvent.records import Message, Record
from tests.models.tiny_llama import BOS, NEWLINE, save_tiny_llama, words

Q, A = words(30, 31, 32), words(40, 41)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> HFScorer:
    return HFScorer.load(str(save_tiny_llama(tmp_path_factory.mktemp("bos"))), uri="hf:bos", device="cpu")


@pytest.fixture(scope="module")
def without_bos(tmp_path_factory: pytest.TempPathFactory) -> HFScorer:
    folder = save_tiny_llama(tmp_path_factory.mktemp("plain"), bos=False)
    return HFScorer.load(str(folder), uri="hf:plain", device="cpu")


def pair(instruction: str, output: str, input: str = "", messages: list[Message] | None = None) -> Record:
    return Record("a", "a", 0, instruction, input=input, output=output, messages=messages)


def test_paper_layout_with_bos(scorer: HFScorer) -> None:
    assert paper_layout(scorer, pair(Q, A)) == PairTokens(
        full=[BOS, 30, 31, 32, NEWLINE, 40, 41],
        instruction=(1, 4),
        response=(4, 7),  # the line break is charged to the response
        direct=[BOS, 40, 41],
        direct_start=1,
        instruction_tokens=3,
        response_tokens=2,
    )


def test_paper_layout_without_bos_leaves_the_first_tokens_unscored(without_bos: HFScorer) -> None:
    assert paper_layout(without_bos, pair(Q, A)) == PairTokens(
        full=[30, 31, 32, NEWLINE, 40, 41],
        instruction=(1, 3),
        response=(3, 6),
        direct=[40, 41],
        direct_start=1,
        instruction_tokens=3,
        response_tokens=2,
    )


def test_the_input_stands_on_the_next_line(scorer: HFScorer) -> None:
    laid_out = paper_layout(scorer, pair(words(30), A, input=words(50, 51)))
    assert isinstance(laid_out, PairTokens)
    assert laid_out.full == [BOS, 30, NEWLINE, 50, 51, NEWLINE, 40, 41]
    assert laid_out.instruction == (1, 5)


class Merging:
    """A BOS, then a token a letter; a line break merges into the token before it, as Llama 3 merges ``?\\n``."""

    uri, identity, context = "merging", "{}", 100

    def tokenize(self, text: str) -> list[int]:
        tokens = [BOS]
        for letter in text:
            if letter == "\n" and len(tokens) > 1:
                tokens[-1] += 1000
            else:
                tokens.append(ord(letter))
        return tokens


def test_a_line_break_merged_into_the_question_is_charged_to_it() -> None:
    laid_out = paper_layout(Merging(), pair("ab?", "xy"))
    assert isinstance(laid_out, PairTokens)
    assert laid_out.full == [BOS, 97, 98, ord("?") + 1000, 120, 121]
    assert (laid_out.instruction, laid_out.response) == ((1, 4), (4, 6))
    assert laid_out.instruction_tokens == 3


@pytest.mark.parametrize("layout", [paper_layout, chat_layout])
def test_nothing_to_score_with_bos(scorer: HFScorer, layout: object) -> None:
    assert layout(scorer, pair(Q, "")) == "empty output"
    assert layout(scorer, pair("", A)) == "empty instruction"
    assert isinstance(layout(scorer, pair("", A, input=Q)), PairTokens)
    assert isinstance(layout(scorer, pair(words(30), words(40))), PairTokens)  # BOS stands before the single tokens
    assert layout(scorer, pair(words(*[30] * 80), words(*[40] * 60))) == "longer than the context of 128 tokens"


def test_nothing_to_score_without_bos(without_bos: HFScorer) -> None:
    assert paper_layout(without_bos, pair(Q, "")) == "empty output"
    assert paper_layout(without_bos, pair("", A)) == "empty instruction"
    assert paper_layout(without_bos, pair(words(30), A)) == "one-token instruction"
    assert paper_layout(without_bos, pair(Q, words(40))) == "one-token output"
    merged = paper_layout(Merging(), pair("ab?", "\n\n"))
    assert merged == "no token of the output stands apart from the instruction's last"


def test_a_pair_of_exactly_the_context_is_scored(scorer: HFScorer) -> None:
    exact = pair(words(*[30] * 63), words(*[40] * 63))  # with BOS and the line break 128
    assert isinstance(paper_layout(scorer, exact), PairTokens)
    over = pair(words(*[30] * 64), words(*[40] * 63))
    assert paper_layout(scorer, over) == "longer than the context of 128 tokens"


def test_chat_layout_scores_question_and_answer_inside_the_template(scorer: HFScorer) -> None:
    assert chat_layout(scorer, pair(Q, A)) == PairTokens(
        full=[BOS, 90, 94, 91, 30, 31, 32, 92, 90, 95, 91, 40, 41],
        instruction=(4, 7),
        response=(11, 13),
        direct=[BOS, 90, 94, 91, 92, 90, 95, 91, 40, 41],
        direct_start=8,
        instruction_tokens=3,
        response_tokens=2,
    )


def test_chat_layout_keeps_a_system_turn_on_both_sides(scorer: HFScorer) -> None:
    turns: list[Message] = [{"role": "system", "content": words(60)}, {"role": "user", "content": Q}]
    laid_out = chat_layout(scorer, pair(Q, A, messages=turns))
    assert isinstance(laid_out, PairTokens)
    assert laid_out.full[:6] == laid_out.direct[:6] == [BOS, 90, 93, 91, 60, 92]
    assert [laid_out.full[place] for place in range(*laid_out.instruction)] == [30, 31, 32]


def test_chat_layout_of_a_question_that_begins_like_the_template_goes_on(scorer: HFScorer) -> None:
    laid_out = chat_layout(scorer, pair(words(92, 30, 92), A))
    assert isinstance(laid_out, PairTokens)
    assert laid_out.instruction_tokens == 3


ALPACA = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':\\n' + m['content'] + '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\\n' }}{% endif %}"
)


class LineBreaks:
    """Words, digits one by one, runs of line breaks, and a space that joins the letters behind it, as in Llama 3."""

    uri, identity, context = "line breaks", "{}", 1000

    def __init__(self, template: str = ALPACA) -> None:
        self.pieces: list[str] = []
        self.template = jinja2.Template(template)

    def tokenize(self, text: str) -> list[int]:
        found = re.findall(r"\n+| ?[a-zA-Z]+|\d| ?[^\s\w]+\n*|\s", text)
        self.pieces += [piece for piece in found if piece not in self.pieces]
        return [self.pieces.index(piece) for piece in found]

    def chat_tokens(self, messages: list[Message], *, generation_prompt: bool) -> list[int]:
        return self.tokenize(self.template.render(messages=messages, add_generation_prompt=generation_prompt))


@pytest.mark.parametrize(
    ("question", "span"),
    [
        ("Bake bread", ["Bake", " bread"]),
        ("a 3", ["a", " ", "3"]),
        ("1", ["1"]),
        ("Bake\n\nbread", ["Bake", "\n\n", "bread"]),
        ("Bake bread\n", ["Bake", " bread", "\n\n\n"]),  # merged with the template's: counts for the question
        ("Bread?", ["Bread", "?\n\n"]),
    ],
)
def test_chat_layout_tells_question_from_template_where_line_breaks_merge(question: str, span: list[str]) -> None:
    scorer = LineBreaks()
    laid_out = chat_layout(scorer, pair(question, "Mix flour."))
    assert isinstance(laid_out, PairTokens)
    assert [scorer.pieces[token] for token in laid_out.full[slice(*laid_out.instruction)]] == span
    assert laid_out.instruction_tokens == len(span)


@pytest.mark.parametrize(("question", "span"), [("Bake", [" Bake"]), ("3 eggs", ["3", " eggs"]), ("x3", [" x", "3"])])
def test_chat_layout_behind_a_space(question: str, span: list[str]) -> None:
    scorer = LineBreaks("{{ 'Q: ' + messages[0]['content'] | trim + '\\nA:' }}")
    laid_out = chat_layout(scorer, pair(question, "Mix flour."))
    assert isinstance(laid_out, PairTokens)
    assert [scorer.pieces[token] for token in laid_out.full[slice(*laid_out.instruction)]] == span
    assert chat_layout(scorer, pair("  ", "Mix flour.")) == "instruction without a token"


def test_texts_without_a_token_are_not_called_one_token(scorer: HFScorer, without_bos: HFScorer) -> None:
    for model in (scorer, without_bos):
        assert paper_layout(model, pair("   ", A)) == "instruction without a token"
        assert paper_layout(model, pair(Q, "   ")) == "output without a token"
    assert chat_layout(scorer, pair(Q, "   ")) == "output without a token"
