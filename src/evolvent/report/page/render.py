"""The page: one HTML file that may load nothing, and runs and styles itself by nothing but what it was made with.

Texts of models stand in it as data alone: of a JSON element, and of the compressed rows; its script sets them as text.
What in texts of others turns the order of those around them is shown, and not obeyed.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import orjson
from markupsafe import Markup

HERE = Path(__file__).parent
# One after the other they are one script.
SCRIPTS = ("figures.js", "rows.js", "words.js", "detail.js", "list.js", "start.js")

# Embeddings, overrides and isolates of direction.
TURNING = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
SHOWN = {code: f"\\u{code:04x}" for code in TURNING}  # as ``printable`` shows them
SHOWN_IN_JSON = {code: f"\\{shown}" for code, shown in SHOWN.items()}


def render(values: Mapping[str, Any], data: Mapping[str, Any], rows: str, libraries: str) -> str:
    """Fill in the page.

    Args:
        values: what the template shows; it is escaped.
        data: what the scripts read.
        rows: the block of records, base64.
        libraries: the script that draws figures.
    """
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    assert "</script" not in libraries, "an HTML parser would end the script there"
    policy = (
        f"default-src 'none'; script-src {_hash(libraries)} {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=_shown,
    )
    return environment.get_template("page.html.j2").render(
        **values,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        libraries=Markup(libraries),
        data=Markup(_inert(data)),
        rows=rows,
    )


def _shown(value: Any) -> Any:
    """What the template is given, as it is shown."""
    return value.translate(SHOWN) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hash(text: str) -> str:
    """How a policy names what it lets run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(data: Mapping[str, Any]) -> str:
    """JSON in which no HTML parser finds anything."""
    text = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode().translate(SHOWN_IN_JSON)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028")
