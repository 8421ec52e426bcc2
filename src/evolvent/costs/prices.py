"""What models cost, as the user says it: a price for a million tokens in, and one for a million tokens out.

There is no table of prices here: whoever pays knows what they pay, in their currency. Models that run in this process
cost nothing unless a price is given; a server's model without a price has none, which is not the same as 0.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from evolvent.errors import InputError
from evolvent.models.uri import OPTIONS, parse_uri
from evolvent.parse_errors import yaml_error

MILLION = 1_000_000

# More for a million tokens is a slip of the pen in any currency.
HIGHEST = 1e9

HOW = (
    "Write --price IN,OUT for a million tokens (0.15,0.60), --price MODEL=IN,OUT, or --price FILE.yaml "
    "with lines MODEL: {in: 0.15, out: 0.60}."
)


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in whatever currency the user counts in.

    Attributes:
        prompt: for a million tokens in.
        completion: for a million tokens out.
    """

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / MILLION


class _Entry(NamedTuple):
    """A price, what it is for (a URI, a model's plain name, None for every server's model), and where it was given.

    What is typed is for this command; a file or a mapping may be a table of all the models that somebody uses.
    """

    model: str | None
    price: Price
    place: str
    typed: bool


# --price, as often as it was given, or the argument ``price`` in Python.
Prices = str | Path | Sequence[str | Path] | Mapping[str, Mapping[str, float]] | None


def read_prices(
    given: Prices, uris: Iterable[str], *, others: Iterable[str] = (), noted: Mapping[str, Price] | None = None
) -> dict[str, Price]:
    """The prices of a command's models.

    A price for a whole URI comes before one for a plain model name, and this before one for all servers' models.

    Args:
        given: ``IN,OUT`` (every server's model of this command), ``MODEL=IN,OUT``, the path of a YAML file that maps
            models to ``{in: x, out: y}``, or several of these; in Python also what such a file holds. MODEL is a URI or
            the plain name of a model.
        uris: the models that this command calls.
        others: models that it does not call but whose cost counts: those that the run folder holds calls of, those of
            a recipe's other stages. A price without a name is not for them.
        noted: prices that were given earlier, by URI; what is given now comes before them.

    Returns:
        Prices by URI as records hold it. A server's model without a price is not in it.

    Raises:
        InputError: a price that is no price, one for a model that is not there, or two for the same model; the
            message names the place.
    """
    called = [str(parse_uri(uri)) for uri in uris]
    models = {str(parse_uri(uri)): parse_uri(uri) for uri in [*called, *others]}
    # what a price for the model may be given for, the closest first
    names: dict[str, list[str | None]] = {uri: [uri, *filter(None, [model.name])] for uri, model in models.items()}
    for uri in called:
        if models[uri].scheme == "openai":
            names[uri].append(None)
    entries = list(_entries(given))
    for entry in entries:
        if entry.typed and not any(entry.model in accepted for accepted in names.values()):
            what = "no such model here" if entry.model else "no server's model here"
            fix = f"Models here: {', '.join(models)}. Write --price MODEL=IN,OUT."
            raise InputError(f"{entry.place}: there is {what}", fix=fix)
    prices = {uri: Price(0.0, 0.0) for uri, model in models.items() if model.scheme != "openai"}
    prices.update(noted or {})
    for uri, accepted in names.items():
        found = next(filter(None, ([entry for entry in entries if entry.model == name] for name in accepted)), [])
        for entry in found:
            if entry.price != found[0].price:
                raise InputError(
                    f"two prices for {uri}: {found[0].place} and {entry.place}", fix="Leave one of them out."
                )
            prices[uri] = entry.price
    return prices


def money(amount: float) -> str:
    """An amount as text: two decimals, more for small amounts; the currency is the reader's."""
    if amount == 0 or amount >= 0.995:
        return f"{amount:,.2f}"
    return f"{amount:.{max(2, 1 - math.floor(math.log10(amount)))}f}"


def _entries(given: Prices) -> Iterator[_Entry]:
    """Every price that was given, in order."""
    if given is None:
        return
    if isinstance(given, Mapping):
        for key, value in given.items():
            place = f"price for {key}"
            yield _Entry(_canonical(str(key), "price"), _price_in(value, place), place, typed=False)
        return
    for one in [given] if isinstance(given, str | Path) else given:
        if not isinstance(one, str | Path):
            raise InputError(f"a price is given as {one!r}", fix=HOW)
        text = str(one).strip()
        if isinstance(one, Path) or text.lower().endswith((".yaml", ".yml")):
            yield from _file(Path(one))
            continue
        # a URI may hold = and a name a comma: the last = is the one before the price
        name, named, numbers = text.rpartition("=")
        if named and not name.strip():
            raise InputError(f"--price {text} names no model before =", fix=HOW)
        place = f"--price {name.partition('?')[0]}=…" if named else f"--price {text}"
        price = _price(numbers.split(","), place)
        yield _Entry(_canonical(name.strip(), "--price") if named else None, price, place, typed=True)


def _file(path: Path) -> Iterator[_Entry]:
    """The prices of a YAML file, with the line of each."""
    text = ""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise InputError(f"there is no price file {path}", fix=HOW) from None
    except (OSError, UnicodeDecodeError, RuntimeError) as error:  # RuntimeError: ~name of a user who is not there
        raise InputError(f"price file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"price file {path} is not YAML: {yaml_error(error, text)}", fix=HOW) from error
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"price file {path} does not map models to prices", fix=HOW)
    for key, value in node.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{place}: a model's name was expected", fix=HOW)
        model = _canonical(key.value, place)
        place = f"{place} ({model})"
        # numbers as they are written: YAML's own reading takes 6e-1 for a text and 1:30 for 90
        two = isinstance(value, yaml.MappingNode) and len(value.value) == 2
        fields = {str(name.value): number.value for name, number in value.value} if two else {}
        yield _Entry(model, _price_in(fields, place), place, typed=False)


def _price_in(fields: object, place: str) -> Price:
    """The price in ``{in: x, out: y}``."""
    return _price(
        [fields["in"], fields["out"]] if isinstance(fields, Mapping) and set(fields) == {"in", "out"} else [], place
    )


def _price(numbers: Sequence[object], place: str) -> Price:
    """A price of two numbers.

    Raises:
        InputError: they are not two numbers from 0 to ``HIGHEST``.
    """
    try:
        values = [math.nan if isinstance(number, bool) else float(number) for number in numbers]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        values = []
    if len(values) != 2 or any(math.isnan(value) for value in values):
        raise InputError(f"{place}: two numbers were expected, in and out for a million tokens", fix=HOW)
    for value in values:
        if value < 0 or value > HIGHEST:
            raise InputError(f"{place}: {value:g} for a million tokens is no price", fix="Give 0 or more.")
    return Price(values[0], values[1])


def _canonical(name: str, place: str) -> str:
    """A model's URI as records hold it; a plain name as it is. A message shows no URI that may hold a key."""
    if name.partition("?")[0].partition(":")[0] not in OPTIONS:
        return name
    try:
        return str(parse_uri(name))
    except InputError as error:
        raise InputError(f"{place}: {error.message}", fix=error.fix) from error
