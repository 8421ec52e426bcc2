"""What the docs name is there: what they import, and the files of the source."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
SOURCE = {file.relative_to(ROOT).as_posix() for file in (ROOT / "src").rglob("*.py")}


IMPORTS = re.compile(r"(?m)^ *((?:import evolvent|from evolvent\S* import ).*)")
MODULES = re.compile(r"`((?:src|evolution|responses|metrics|selection|runs|models|datasets)/[\w/]+\.py)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_imports_is_there(page: Path) -> None:
    for line in IMPORTS.findall(page.read_text(encoding="utf-8")):
        exec(line.partition("#")[0], {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_modules_that_a_page_names_are_there(page: Path) -> None:
    for name in MODULES.findall(page.read_text(encoding="utf-8")):
        assert any(file.endswith(f"/{name}") or file == name for file in SOURCE), name
