"""What a function is given, with the copies on this node in the place of URLs; what is made in them is saved."""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolvent.object_storage.bring import bring, with_run
from evolvent.object_storage.copies import changed
from evolvent.object_storage.held import HeldFolder
from evolvent.object_storage.save import save
from evolvent.object_storage.stores import check_writable
from evolvent.object_storage.urls import copies, place_of, url_in

log = logging.getLogger(__name__)


@contextmanager
def attached(given: Mapping[str, Any], paths: Collection[str]) -> Iterator[dict[str, Any]]:
    """Bring what URLs name to this node, and save what was made there when the block ends well.

    Args:
        given: values of arguments and options by name.
        paths: those that are paths, or lists or mappings of paths.

    Yields:
        The values; for each URL the path of its copy.

    Raises:
        InputError: there is nothing of that name, or it may not be read or written.
        RunError: a store cannot be reached.
    """
    places, brought = dict[str, Path](), set[str]()
    if (out := url_in(given.get("out"))) is not None:
        check_writable(out)

    def here(value: Any) -> Any:
        if (url := url_in(value)) is not None:
            if url not in places:
                places[url] = place_of(url)
                brought.add(whole := with_run(url))
                bring(whole)
            return str(places[url]) if isinstance(value, str) else places[url]
        if type(value) in {list, tuple}:  # of a class of its own, a DatasetDict say, nothing is known
            return type(value)(map(here, value))
        return {name: here(one) for name, one in value.items()} if type(value) is dict else value

    yield {name: here(value) if name in paths else value for name, value in given.items()}
    for url in sorted(brought):
        _save_rest(url)


def _save_rest(url: str) -> None:
    """Save what was made without the run folder being held (a page, a card), or a file that is no run's."""
    if not changed(url):
        return
    if place_of(url).is_file():
        save(url)
        log.warning("saved: %s", url)
        return
    held = HeldFolder(url, place_of(url))
    if (holder := held.take_if_free()) is not None:
        log.warning("%s is being worked in (%s): what was made is in its copy here, below %s", url, holder, copies())
        return
    held.end()
