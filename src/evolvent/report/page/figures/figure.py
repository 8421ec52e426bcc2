"""A figure, and how all of them look."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

# Lines and letters have the colour of the text around them, so that one drawing does on white, on black and on paper.
INK = "currentColor"
OK, MAYBE, BAD = "#2f9e6e", "#c9892b", "#cf4d5b"
COLOURS = ["#3f83c8", "#df7a36", "#2f9e6e", "#c65a94", "#8a71c9", "#a98a2d", "#3ea3b5", "#cf4d5b", "#858b94"]
# From very easy to very hard.
LEVELS = ["#9ad0f0", "#5eacdf", "#3f83c8", "#6a5bb8", "#8c3f8f"]

THEME: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": INK,
        "domainOpacity": 0.35,
        "tickColor": INK,
        "tickOpacity": 0.35,
        "gridColor": INK,
        "gridOpacity": 0.1,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": 170,
    },
    "axisY": {"titleAnchor": "end"},
    "axisTop": {"labelAngle": -30},
    "axisQuantitative": {"labelOverlap": "parity", "labelSeparation": 6},
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "orient": "bottom",
        "columns": 2,
        "labelLimit": 200,
        "title": None,
        "symbolType": "square",
    },
    "text": {"color": INK, "fill": INK, "fontSize": 11},
    "rule": {"color": INK},
    "range": {"category": COLOURS},
    "bar": {"color": COLOURS[0]},
    "point": {"color": COLOURS[0], "filled": True, "size": 60},
    "line": {"color": COLOURS[0]},
    "area": {"color": COLOURS[0]},
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure.

    Attributes:
        name: of its file, without an ending.
        title: what it shows.
        caption: what is to be known when it is read.
        spec: how it is drawn, as Vega-Lite has it; as wide as the place that it is given.
    """

    name: str
    title: str
    caption: str
    spec: dict[str, Any]


def plot(values: Sequence[Row], *layers: Mapping[str, Any], height: int = 220, **encoding: Any) -> dict[str, Any]:
    """A specification: rows of data, and what is drawn of them.

    Args:
        values: the rows.
        layers: what is drawn, the lowest first: each a mark, with an encoding of its own where it has one.
        height: in pixels.
        encoding: what all layers share.
    """
    return {
        "data": {"values": list(values)},
        "width": "container",
        "height": height,
        "encoding": encoding,
        "layer": list(layers),
    }


def number(field: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """A channel of numbers; it begins at 0 only if it is told to."""
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False}, **more}


def name(field: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """A channel of names, in the order of the data."""
    return {"field": field, "type": "nominal", "title": title, "sort": None, **more}


def tips(*fields: str) -> list[dict[str, Any]]:
    """What is said of a mark that is pointed at."""
    return [{"field": field} for field in fields]


def high(values: Iterable[Row], field: str, pixels: int = 26) -> int:
    """The height of a figure that has a row for each name of a field."""
    return pixels * len({one[field] for one in values})


def rounded(value: float, digits: int = 4) -> float:
    """A number with so many significant digits."""
    return float(f"{value:.{digits}g}")
