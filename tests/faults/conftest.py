from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lasting import Lasting
from tests.faults.way import Way, opened


@pytest.fixture(scope="session", autouse=True)
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    with Lasting(tmp_path_factory.mktemp("lasting")) as commands:
        yield commands


@pytest.fixture(scope="session")
def open_way() -> Iterator[Way]:
    with opened() as way:
        yield way


@pytest.fixture
def way(open_way: Way, tmp_path: Path) -> Way:
    """A server behind a proxy, both well as long as the test tells them no other; the seeds are in ``tmp_path``."""
    open_way.begin(tmp_path)
    return open_way


@pytest.fixture(scope="session")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def evolved(way: Way, whole_folder: Path) -> Path:
    """What an undisturbed ``evolve`` wrote."""
    return way.undisturbed("evolve", whole_folder)


@pytest.fixture
def answered(way: Way, whole_folder: Path) -> Path:
    """What an undisturbed ``respond`` wrote."""
    return way.undisturbed("respond", whole_folder)
