"""Prices: every way to give one, which model it is for, and what a wrong one is told."""

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.costs.prices import Price, money, read_prices
from evolvent.errors import InputError

SERVER = "openai:big/model?base_url=http://host:8000/v1"
OTHER = "openai:llama3:8b?base_url=http://host:1/v1"


def test_one_price_is_for_every_servers_model_and_models_in_this_process_cost_nothing() -> None:
    prices = read_prices("0.15,0.60", [SERVER, OTHER, "embedded", "hf:org/name"])
    assert prices == {
        SERVER: Price(0.15, 0.6),
        OTHER: Price(0.15, 0.6),
        "embedded": Price(0, 0),
        "hf:org/name": Price(0, 0),
    }


def test_a_servers_model_without_a_price_has_none() -> None:
    assert read_prices(None, [SERVER, "embedded"]) == {"embedded": Price(0, 0)}


def test_a_price_is_kept_by_the_uri_that_records_hold() -> None:
    assert read_prices("1,2", [SERVER + "&timeout=9"]) == {SERVER: Price(1, 2)}
    assert read_prices(f"{SERVER}&timeout=5=1,2", [SERVER + "&timeout=9"]) == {SERVER: Price(1, 2)}


@pytest.mark.parametrize("name", [OTHER, "llama3:8b"])
def test_a_price_for_one_model(name: str) -> None:
    assert read_prices(f"{name}=1,2", [SERVER, OTHER]) == {OTHER: Price(1, 2)}


def test_a_uri_comes_before_a_name_and_a_name_before_all() -> None:
    all_, name, uri = "1,1", "big/model=2,2", f"{SERVER}=3,3"
    for order in permutations([all_, name, uri]):
        assert read_prices(order, [SERVER, OTHER]) == {SERVER: Price(3, 3), OTHER: Price(1, 1)}
    for order in permutations([all_, name]):
        assert read_prices(order, [SERVER, OTHER]) == {SERVER: Price(2, 2), OTHER: Price(1, 1)}


def test_a_price_in_this_process_can_be_given() -> None:
    assert read_prices("embedded=0.5,0.5", ["embedded"]) == {"embedded": Price(0.5, 0.5)}


def test_a_price_without_a_name_is_not_for_models_of_other_commands() -> None:
    assert read_prices("1,2", [SERVER], others=[OTHER, "embedded"]) == {SERVER: Price(1, 2), "embedded": Price(0, 0)}
    assert read_prices(["1,2", "llama3:8b=3,4"], [SERVER], others=[OTHER])[OTHER] == Price(3, 4)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        f"{SERVER}: {{in: 0.15, out: 6e-1}}\nllama3:8b: {{out: 2, in: 1}}\nnever-called: {{in: 9, out: 9}}\n"
        "hf:org/name:\n  in: 0.1\n  out: 0.1\n"
    )
    for way in (file, str(file), [str(file)]):
        prices = read_prices(way, [SERVER, OTHER, "embedded"])
        assert prices == {SERVER: Price(0.15, 0.6), OTHER: Price(1, 2), "embedded": Price(0, 0)}


def test_a_mapping() -> None:
    table = {
        "big/model": {"in": 1, "out": 2},
        OTHER: {"in": 3, "out": 4.0},
        "never-called": {"in": 5, "out": 6},
        "embedded": {"in": 0.1, "out": 0.2},
    }
    assert read_prices(table, [SERVER, OTHER, "embedded"]) == {
        SERVER: Price(1, 2),
        OTHER: Price(3, 4),
        "embedded": Price(0.1, 0.2),
    }


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ("0.15", r"--price 0\.15: two numbers"),
        ("0,15,0,60", "two numbers"),
        ("1;2", "two numbers"),
        ("nan,1", "two numbers"),
        ("1,-2", "-2 for a million tokens is no price"),
        ("1,inf", "inf for a million"),
        ("1e10,1", r"1e\+10 for a million"),
        ("other=1,2", r"--price other=…: there is no such model here\nModels here: openai:big"),
        (SERVER, r"--price openai:big/model=…: two numbers"),
        ("=1,2", "names no model"),
        ("openai:m?api_key=sk-secret=1,2", "a key does not belong"),
        (["1,2", "1,3"], "two prices for openai:big/model.*: --price 1,2 and --price 1,3"),
        (["1,2", 3], "a price is given as 3"),
        ("nowhere.yaml", r"there is no price file nowhere\.yaml"),
        ({"big/model": True}, "price for big/model: two numbers"),
        ({"big/model": {"in": True, "out": 1}}, "two numbers"),
        ({"big/model": {"in": 1, "out": None}}, "two numbers"),
        ({"big/model": [1, 2]}, "two numbers"),
        ({"big/model": "1,2"}, "two numbers"),
        ({"big/model": {"in": 1}}, "two numbers"),
    ],
)
def test_what_is_wrong_is_said(price: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        read_prices(price, [SERVER])  # type: ignore[arg-type]
    assert "sk-secret" not in str(raised.value)
    assert raised.value.fix


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {in: 1, out: 2}\nbig/model: {in: 1, Out: 2}\n", r"p\.yml, line 2 \(big/model\): two numbers"),
        ("a: [1, 2]\n", r"line 1 \(a\): two numbers"),
        ("a: 1,2\n", r"line 1 \(a\): two numbers"),
        ("a: {in: 1, in: 1, out: 2}\n", r"line 1 \(a\): two numbers"),
        ("a: {in: [1], out: 2}\n", r"line 1 \(a\): two numbers"),
        ("a: {[in]: 1, out: 2}\n", r"line 1 \(a\): two numbers"),
        ("a: {in: 1, out: 2, cached: 3}\n", r"line 1 \(a\): two numbers"),
        ("a: {in: 1, out: .nan}\n", "line 1"),
        ("a: {in: true, out: 1}\n", "line 1"),
        ("big/model: {in: 1, out: 2}\nbig/model: {in: 1, out: 3}\n", r"two prices.*line 1 .*line 2 "),
        ("openai:x?nonsense=1: {in: 1, out: 2}\n", r"line 1: unknown option"),
        ("- 1\n- 2\n", "does not map models to prices"),
        ("", "does not map models to prices"),
        ("a: [1, 2\n", "is not YAML: line 2, column 1: expected ',' or ']'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_prices(tmp_path / "p.yml", [SERVER])


def test_one_price_where_nothing_is_paid_is_a_slip() -> None:
    with pytest.raises(InputError, match="there is no server's model here"):
        read_prices("1,2", ["embedded"])


amounts = st.floats(0, 1e9)


@given(amounts, amounts)
def test_numbers_come_back_exactly(prompt: float, completion: float) -> None:
    assert read_prices(f"{SERVER}={prompt!r},{completion!r}", [SERVER]) == {SERVER: Price(prompt, completion)}


def test_a_price_is_for_a_million_tokens() -> None:
    assert Price(0.15, 0.6).of(2_000_000, 500_000) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.00"), (1234.5, "1,234.50"), (0.25, "0.25"), (0.0042, "0.0042"), (0.00012345, "0.00012"), (0.999, "1.00")],
)
def test_money(amount: float, text: str) -> None:
    assert money(amount) == text


def test_a_price_given_earlier_holds_until_another_is_given() -> None:
    """Also for a model of this process, which costs nothing otherwise."""
    noted = {"embedded": Price(3, 4), SERVER: Price(5, 6)}
    assert read_prices(None, ["embedded", SERVER], noted=noted) == noted
    given = read_prices(["embedded=0,0", f"{SERVER}=1,2"], ["embedded", SERVER], noted=noted)
    assert given == {"embedded": Price(0, 0), SERVER: Price(1, 2)}
