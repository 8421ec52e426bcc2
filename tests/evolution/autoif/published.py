"""Rows of the sample data that were published with AutoIF."""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def published(name: str) -> list[dict[str, Any]]:
    """The rows of a file in autoif/ of the folder with public data; skips the test where there is none."""
    folder = os.environ.get("EVOLVENT_DATA")
    if not folder:
        pytest.skip("EVOLVENT_DATA is not set: the folder with the public data sets")
    return [json.loads(line) for line in (Path(folder) / "autoif" / name).read_text().splitlines()]
