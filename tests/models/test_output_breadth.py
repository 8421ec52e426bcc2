"""How sure a model is of what it writes, beside independent sums over whole vocabularies."""

import math

import numpy as np
import pytest

from evolvent.models.output_breadth import COLUMNS, entropy, output_breadth, top1
from evolvent.models.protocols import TokenLogprob


def position(probabilities: np.ndarray, drawn: int, count: int) -> TokenLogprob:
    """A position as a back end gives it: the drawn token, and the ``count`` likeliest."""
    logprobs = np.log(probabilities)
    likeliest = np.argsort(-logprobs)[:count]
    return TokenLogprob(f"t{drawn}", float(logprobs[drawn]), tuple((f"t{i}", float(logprobs[i])) for i in likeliest))


def test_both_equal_plain_sums_where_every_token_is_known_and_entropy_is_no_larger_where_not() -> None:
    for seed in range(100):
        noise = np.random.default_rng(seed)
        probabilities = noise.dirichlet(np.full(50, 0.3))
        drawn = int(noise.integers(50))
        plain = -float((probabilities * np.log(np.maximum(probabilities, 1e-300))).sum())
        whole, some = position(probabilities, drawn, 50), position(probabilities, drawn, 20)
        assert top1(whole) == top1(some) == pytest.approx(probabilities.max(), abs=1e-12)
        assert entropy(whole) == pytest.approx(plain, abs=1e-9)
        known = {*np.argsort(-probabilities)[:20].tolist(), drawn}
        lumped = np.array([*probabilities[list(known)], 1 - probabilities[list(known)].sum()])
        assert entropy(some) == pytest.approx(-float((lumped * np.log(np.maximum(lumped, 1e-300))).sum()), abs=1e-9)
        assert entropy(some) <= plain + 1e-9


def test_the_likeliest_token_counts_and_not_the_drawn_one() -> None:
    assert top1(TokenLogprob("b", math.log(0.1), (("a", math.log(0.7)), ("b", math.log(0.1))))) == pytest.approx(0.7)
    # a server that lists the alternatives alone
    assert top1(TokenLogprob("a", math.log(0.7), (("b", math.log(0.1)),))) == pytest.approx(0.7)


def test_what_has_no_probability_adds_nothing() -> None:
    assert entropy(TokenLogprob("a", 0.0, (("a", 0.0), ("b", -9999.0), ("c", -math.inf)))) == 0
    assert entropy(TokenLogprob("a", 1e-9, (("a", 1e-9),))) == pytest.approx(0, abs=1e-8)  # rounded above 1


def test_means_are_over_the_first_five_positions_and_over_all() -> None:
    chances = [0.5, 0.5, 0.5, 0.5, 0.5, 1.0]
    found = output_breadth([TokenLogprob("a", math.log(p), (("a", math.log(p)),)) for p in chances])
    assert found == pytest.approx(
        {
            "top1_first5": 0.5,
            "top1": 3.5 / 6,
            "entropy_first5": math.log(2),
            "entropy": 5 * math.log(2) / 6,
            "output_positions": 6,
        }
    )
    assert list(found) == [column.name for column in COLUMNS]


def test_without_log_probabilities_nothing_is_known_and_an_empty_reply_has_no_position() -> None:
    nothing = dict.fromkeys(column.name for column in COLUMNS)
    assert output_breadth(None) == nothing
    # the drawn token's own says nothing of the likeliest
    assert output_breadth([TokenLogprob("a", -0.1, (("a", -0.1),)), TokenLogprob("b", -0.5)]) == nothing
    assert output_breadth([]) == nothing | {"output_positions": 0}
