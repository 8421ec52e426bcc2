"""Options written once: what users may give a function that takes groups, and what it shows of them."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from evolvent.errors import InputError
from evolvent.options import (
    Calling,
    Interface,
    Reading,
    argument,
    implements,
    mapping,
    max_tokens,
    names,
    option,
    options_in,
    pairs,
    read_text,
    seed,
    takes,
    temperature,
    top_p,
)


def no_stars(guests: tuple[str, ...]) -> None:
    if any("*" in guest for guest in guests):
        raise InputError("a star", fix="Take it out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cook:
    out: Path = option("The folder.", metavar="DIR")
    dish: str = option("Which dish.", "soup", names=("soup", "stew", "cake"))
    salt: float = option("How much salt.", 1.0, least=0, most=5)
    guests: tuple[str, ...] = option("Who comes.", (), check=no_stars)
    share: float = top_p(0.5)
    warmth: float = temperature(0.7)
    words: int = max_tokens(10)
    number: int = seed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Soup:
    stirs: int = option("How often it is stirred.", 3, least=1)
    lid: bool = option("Whether a lid is on.", True, flag="--lid/--no-lid")
    profile: str = option("How it is done.", "home", names=("home", "canteen"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cake:
    form: str = option("Which form.")
    eggs: int | None = option("How many eggs.", None, least=0)
    lid: bool = option("Whether a lid is on.", False)
    profile: str = option("How it is done.", "gran", names=("gran",))
    icing: str | None = option("The icing.", None)

    def __post_init__(self) -> None:
        if self.icing and self.lid:
            raise InputError("a lid spoils the icing")


@takes(Cook, Reading, Calling, methods=("dish", {"soup": Soup, "cake": Cake}), without=("retry_failed",))
def cook(
    data: Annotated[str, argument("What is in the house.", "DATA", more="Or a list.")],
    given: Cook,
    method: Soup | Cake,
    reading: Reading,
    calling: Calling,
    *,
    models: object = None,
) -> tuple[Any, ...]:
    """Cook a dish.

    Slowly.

    Returns:
        All of it.
    """
    return data, given, method, reading, calling, models


def test_options_are_sorted_into_groups() -> None:
    data, given, method, reading, calling, models = cook("d", out="o", stirs=4, limit=2, budget=1, models=3)
    assert (data, models) == ("d", 3)
    assert given == Cook(out=Path("o"))
    assert method == Soup(stirs=4)
    assert reading == Reading(limit=2)
    assert calling == Calling(budget=1.0)
    assert type(calling.budget) is float
    assert cook(data="d", out="o", dish="cake", form="ring")[2] == Cake(form="ring")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dsh": "cake"}, "cook.. has no option 'dsh'; did you mean 'dish'"),
        ({"warm": 1}, "did you mean 'warmth'"),
        ({"share_": 1}, "did you mean 'share'"),
        ({"zzz": 1}, "cook.. has no option 'zzz'; its options: out"),
        ({"given": 1}, "has no option 'given'"),
    ],
)
def test_names_that_are_not_there(options: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        cook("d", out="o", **options)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(TypeError, match=r"cook\(\) lacks the option 'out': The folder\."):
        cook("d")
    with pytest.raises(TypeError, match="data"):
        cook(out="o")
    with pytest.raises(TypeError, match="too many"):
        cook("d", "o")
    with pytest.raises(InputError, match=r"cake needs --form\n--form: Which form\."):
        cook("d", out="o", dish="cake")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retry_failed": True}, "cook takes no --retry-failed\nLeave it out."),
        ({"stirs": 2, "dish": "cake"}, "--stirs is an option of soup, not of cake\nLeave it out."),
        ({"eggs": 0}, "--eggs is an option of cake, not of soup\nLeave it out."),
        ({"icing": ""}, "--icing is an option of cake, not of soup"),
        ({"form": False}, "--form is an option of cake, not of soup"),
        ({"dish": "tea"}, "unknown dish 'tea'\nKnown are: soup, cake."),
        ({"dish": None}, "unknown dish None"),
        ({"dish": ["cake"]}, r"unknown dish \['cake'\]"),
        ({"profile": "gran"}, "soup has no profile 'gran'\nKnown are: home, canteen."),
        ({"dish": "cake", "form": "x", "lid": True, "icing": "i"}, "a lid spoils the icing"),
        ({"stirs": 0}, "stirs is 0\nIt is at least 1."),
        ({"stirs": 1.5}, "stirs is 1.5\nIt is a whole number."),
        ({"stirs": True}, "stirs is True\nIt is a whole number."),
        ({"stirs": "3"}, "stirs is '3'\nIt is a whole number."),
        ({"lid": 1}, "lid is 1\nIt is true or false."),
        ({"salt": 6}, "salt is 6\nIt is at least 0 and is at most 5."),
        ({"salt": float("nan")}, "salt is nan"),
        ({"budget": float("inf")}, "budget is inf\nIt is a finite number."),
        ({"share": 0}, "share is 0\nIt is above 0 and is at most 1."),
        ({"warmth": -1}, "warmth is -1\nIt is at least 0 and is at most 5."),
        ({"words": 0}, "words is 0\nIt is at least 1."),
        ({"number": "1"}, "number is '1'\nIt is a whole number."),
        ({"guests": 3}, "guests is 3\nIt is a text or a list."),
        ({"guests": {"Ann": 1}}, "guests is {'Ann': 1}\nIt is a text or a list."),
        ({"guests": "B*"}, "a star\nTake it out."),
        ({"guests": ["Ann", 2]}, r"guests is \['Ann', 2\]"),
        ({"guests": ["Ann", "B*"]}, "a star\nTake it out."),
        ({"map": "a=b"}, r"map is 'a=b'\nIt is a mapping of texts\."),
        ({"map": {"a": 5}}, r"map is {'a': 5}\nIt is a mapping of texts\."),
        ({"map": {5: "a"}}, r"map is {5: 'a'}\nIt is a mapping of texts\."),
        ({"extra_body": {5: "a"}}, r"extra_body is {5: 'a'}\nIt is a mapping\."),
        ({"format": 3}, "format is 3\nIt is a text."),
        ({"out": 3}, "out is 3\nIt is a path."),
        ({"out": "o", "price": 3}, "price is 3\nIt is a text or a path or a mapping or a list."),
        ({"format": ["x" * 500]}, "x…\n"),
    ],
)
def test_values_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        cook("d", **{"out": "o", **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out": 3.5}, "out is 3.5\nIt is a path."),
        ({"out": None}, "out is None\nIt is a path."),
        ({"limit": True}, "limit is True\nIt is a whole number."),
        ({"stirs": "3"}, "stirs is '3'\nIt is a whole number."),
        ({"guests": 5}, "guests is 5\nIt is a text or a list."),
        ({"data": 5}, "data is 5\nIt is a text. What is in the house. Or a list."),
        ({"data": b"d"}, "data is b'd'\nIt is a text."),
        ({"data": None}, "data is None\nIt is a text."),
    ],
)
def test_a_value_of_another_type_is_a_type_error_and_a_wrong_input(options: dict[str, Any], words: str) -> None:
    for kind in (TypeError, InputError):
        with pytest.raises(kind, match=words):
            cook(**{"data": "d", "out": "o", **options})


def test_an_argument_may_be_of_several_types() -> None:
    @takes()
    def keep(data: Annotated[str | Path | Iterable[Mapping[str, Any]], argument("Rows.", "DATA")] = "") -> Any:
        return data

    rows = iter([{"a": 1}])
    assert [keep("d"), keep(Path("d")), keep(rows), keep(data=[]), keep()] == ["d", Path("d"), rows, [], ""]
    with pytest.raises(TypeError, match=r"data is 1\nIt is a text or a path or a list\. Rows\."):
        keep(1)


def test_none_for_an_option_of_another_method_is_not_given() -> None:
    assert cook("d", out="o", eggs=None, icing=None)[2] == Soup()


def test_none_for_an_option_of_the_method_is_its_default() -> None:
    assert cook("d", out="o", stirs=None, profile=None)[2] == Soup()
    assert cook("d", out="o", dish="cake", form="x", profile=None)[2] == Cake(form="x")
    with pytest.raises(InputError, match="form is None\nIt is a text"):
        cook("d", out="o", dish="cake", form=None)


def test_values_are_of_the_type_that_is_wanted() -> None:
    given = cook("d", out="o", salt=2, guests=["Ann"])[1]
    assert (given.salt, type(given.salt), given.guests) == (2.0, float, ("Ann",))
    assert cook("d", out="o", guests="Ann")[1].guests == ("Ann",)
    words = cook("d", out="o", words=2.0)[1].words
    assert (words, type(words)) == (2, int)
    assert cook("d", out=Path("o"), map={"a": "b"}, price=["1,2"])[1].out == Path("o")
    told: Callable[[int], None] = lambda _: None  # noqa: E731
    assert cook("d", out="o", progress=told)[4].progress is told


def test_the_signature_shows_every_option() -> None:
    parameters = inspect.signature(cook).parameters
    assert list(parameters)[:3] == ["data", "out", "dish"]
    assert list(parameters)[-1] == "models"
    assert parameters["out"].default is parameters["out"].empty
    assert parameters["form"].default is None
    assert parameters["lid"].default is True
    assert parameters["limit"].annotation == int | None
    assert "retry_failed" not in parameters
    assert inspect.signature(cook).return_annotation == tuple[Any, ...]


def test_the_docstring_tells_of_every_option() -> None:
    text = cook.__doc__ or ""
    assert text.startswith(
        "Cook a dish.\n\nSlowly.\n\nArgs:\n    data: What is in the house. Or a list.\n    out: The folder.\n"
    )
    assert "\n\nArgs of cake:\n    form: Which form.\n" in text
    assert text.endswith("\n\nReturns:\n    All of it.")
    assert max(map(len, text.splitlines())) <= 120


def test_a_docstring_with_arguments_of_its_own() -> None:
    @takes(Reading)
    def read(data: str, reading: Reading) -> str:
        """Read.

        Args:
            data: what to read.

        Raises:
            InputError: it cannot be read.
        """
        return data

    assert "Args:\n    data: what to read.\n    format: The data's format" in (read.__doc__ or "")
    assert (read.__doc__ or "").endswith("\n\nRaises:\n    InputError: it cannot be read.")
    assert read.plain("d", Reading()) == "d"


def test_groups_are_there_for_command_line_and_recipes() -> None:
    face = cook.interface
    assert face.groups == (Cook, None, Reading, Calling)
    assert list(face.options())[:2] == ["out", "dish"]
    assert (face.method({}), face.method({"dish": "cake"})) == ("soup", "cake")
    assert set(face.options("cake")) - set(face.options("soup")) == {"form", "eggs", "icing"}
    assert set(face.others("soup")) == {"form", "eggs", "icing"}
    assert (face.others("cake")["stirs"].method, face.arguments["data"].metavar) == ("soup", "DATA")
    assert options_in(Cook)["out"].default is MISSING
    assert options_in(Calling)["progress"].about.typed is False


def test_an_interface_may_stand_elsewhere() -> None:
    about = {"data": argument("What is in the house.", "DATA", optional=True)}
    face = Interface("m", "show", about, (Reading, Calling), without=("fresh",))

    @implements(face)
    def show(data: str = "d", *, reading: Reading, calling: Calling) -> Any:
        """Show."""
        return data, reading, calling

    assert show(limit=2) == ("d", Reading(limit=2), Calling())
    assert show.interface is face
    assert (show.__doc__ or "").startswith("Show.\n\nArgs:\n    data: What is in the house.\n    format: The data's")
    with pytest.raises(InputError, match="show takes no --fresh"):
        show(fresh=True)
    with pytest.raises(AssertionError, match="in another order"):

        @implements(face)
        def tell(data: str, calling: Calling, reading: Reading) -> None: ...


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("salt", "1e-1", 0.1),
        ("salt", "2", 2.0),
        ("words", "7", 7),
        ("words", "7.5", "7.5"),
        ("words", "many", "many"),
        ("out", "o", "o"),
        ("guests", "Ann", "Ann"),
        ("map", "a=b", {"a": "b"}),
        ("extra_body", '{"top_k": 1}', {"top_k": 1}),
        ("extra_body", '{"a": "x", "b": {"c": [1, null]}}', {"a": "x", "b": {"c": [1, None]}}),
        ("limit", 3, 3),
    ],
)
def test_a_text_in_a_file_is_read_as_if_it_were_typed(name: str, written: object, value: object) -> None:
    assert read_text(cook.interface.options()[name], written) == value


def test_a_function_takes_each_of_its_groups() -> None:
    with pytest.raises(AssertionError, match="does not take each"):

        @takes(Reading, Calling)
        def read(data: str, reading: Reading) -> None: ...


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (names, "a, b", ["a", "b"]),
        (mapping, "a=b,c = d=e", {"a": "b", "c": " d=e"}),
        (mapping, "", None),
        (pairs, ["a=1", "b="], {"a": "1", "b": ""}),
        (options_in(Calling)["extra_body"].about.parse, '{"top_k": 20}', {"top_k": 20}),
        (options_in(Calling)["extra_body"].about.parse, "", None),
    ],
)
def test_values_that_are_typed_as_one_text(parse: Callable[[Any, str], Any], text: Any, value: Any) -> None:
    assert parse(text, "--x") == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (names, "a,", "--x 'a,' lacks a name"),
        (mapping, "a", "--x 'a' is not KEY=VALUE"),
        (pairs, ["=a"], "--x '=a' is not KEY=VALUE"),
        (options_in(Calling)["extra_body"].about.parse, "{", "--x is not JSON: line 1, column 2: "),
        (options_in(Calling)["extra_body"].about.parse, "[1]", "--x is not a JSON object"),
        (options_in(Calling)["extra_body"].about.parse, "3", "--x is not a JSON object"),
    ],
)
def test_texts_that_are_no_value(parse: Callable[[Any, str], Any], text: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(text, "--x")


def test_rows_written_out_are_data() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Asking:
        queries: "str | Path | Sequence[Mapping[str, Any]]" = option("The queries.")

    @takes(Asking)
    def ask(given: Asking) -> Any:
        return given.queries

    assert ask(queries=[{"a": 1}]) == [{"a": 1}]
    with pytest.raises(InputError, match="queries is"):
        ask(queries=["a", "b"])
    with pytest.raises(InputError, match="queries is"):
        ask(queries={"a": 1})
