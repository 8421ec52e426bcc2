"""What a function is given, with the copies on this node in the place of URLs; what is made in them is saved."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolvent.object_storage.urls import place_of, url_in


@contextmanager
def attached(given: Mapping[str, Any], paths: Collection[str]) -> Iterator[dict[str, Any]]:
    """Bring what URLs name to this node, and save what was made there when the block ends well.

    A run folder's own stages save what they make while they hold it; here go pages, cards and files that are no run's.

    Args:
        given: values of arguments and options by name.
        paths: those that are paths, lists of paths, or mappings to paths. Rows of data, and what a recipe holds, are
            nothing of the kind: a URL in them is text.

    Yields:
        The values; for each URL the path of its copy.

    Raises:
        InputError: there is nothing of that name, or it may not be read or written.
        RunError: a store cannot be reached.
    """
    values = (value for name in given.keys() & set(paths) for value in _values(given[name]))
    urls = {url for value in values if (url := url_in(value)) is not None}
    if not urls:
        yield dict(given)
        return
    # Most commands name no URL, and import nothing of this.
    from evolvent.object_storage.bring import bring, with_run
    from evolvent.object_storage.copies import beside, files_of
    from evolvent.object_storage.save import save_file, save_others
    from evolvent.object_storage.stores import check_writable

    if (out := url_in(given.get("out"))) is not None:
        check_writable(out)
    before = {}
    for url in sorted({with_run(url) for url in urls}):
        place = bring(url)
        before[url] = files_of(place) if place.is_dir() else beside(place)

    def here(value: Any) -> Any:
        if (url := url_in(value)) is not None:
            return str(place_of(url)) if isinstance(value, str) else place_of(url)
        if type(value) in {list, tuple}:
            return type(value)(here(one) if isinstance(one, str | Path) else one for one in value)
        if type(value) is dict:
            return {name: here(one) if isinstance(one, str | Path) else one for name, one in value.items()}
        return value

    yield {name: here(value) if name in paths else value for name, value in given.items()}
    for url, files in before.items():
        save_others(url, files) if place_of(url).is_dir() else save_file(url, files)


def _values(value: Any) -> Iterator[Any]:
    """A value, or those in a list or a mapping that may be paths."""
    if type(value) in {list, tuple}:
        yield from value
    elif type(value) is dict:
        yield from value.values()
    else:
        yield value
