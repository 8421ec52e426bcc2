"""Drawing: the scripts that draw figures in a browser, and figures as SVG and PNG without one."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from evolvent.errors import require_extra
from evolvent.files import replacing
from evolvent.report.page.figures.figure import THEME, Figure
from evolvent.storage_errors import explained

WIDTH, SCALE = 520, 2


@cache
def browser_scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs no other file; it sets ``window.vegaEmbed``.

    Raises:
        InputError: the extra that brings them is not installed.
    """
    require_extra("vl_convert", "report")
    # In a process of its own, whose 130 MB are given back: the engine that puts them together keeps what it has used.
    code = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle().encode())"
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode()


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each figure as SVG and as PNG, black on white, and its specification beside them.

    Raises:
        InputError: the extra that draws them is not installed, or the folder cannot be written to.
    """
    require_extra("vl_convert", "report")
    import vl_convert

    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        spec = on_paper(figure)
        svg = str(vl_convert.vegalite_to_svg(spec, config=THEME))
        drawn = {
            "vl.json": orjson.dumps(spec, option=orjson.OPT_INDENT_2),
            "svg": svg.encode(),
            "png": vl_convert.svg_to_png(svg, scale=SCALE),
        }
        for ending, content in drawn.items():
            path = folder / f"{figure.name}.{ending}"
            with replacing(path) as file:
                file.write(content)
            written.append(path)
    return written


def on_paper(figure: Figure) -> dict[str, Any]:
    """A figure's specification with a width and a background of its own."""
    return {**figure.spec, "width": WIDTH, "background": "white", "title": figure.title}
