"""Small data to train on, and the embedded base model, which learns it in seconds."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

QUICK = {"learning_rate": "1e-3", "batch_size": "8"}


def written(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Rows as a file of JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(path: Path, count: int = 30) -> Path:
    """Additions, some with a longer answer."""
    pairs = [(n % 6, n // 6) for n in range(count)]
    return written(
        path,
        ({"instruction": f"What is {a} plus {b}?", "output": f"{a + b}." + " Yes." * (a * b % 5)} for a, b in pairs),
    )


def without_template(folder: Path) -> Path:
    """The embedded base model without its chat template."""
    import shutil

    from evolvent.models.folders import EMBEDDED_FOLDER

    shutil.copytree(EMBEDDED_FOLDER / "base", folder)
    (folder / "chat_template.jinja").unlink()
    return folder
