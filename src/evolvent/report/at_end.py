"""The page at the end of demo, run and rank: where what draws it is installed, and never a reason to fail."""

from importlib.util import find_spec
from pathlib import Path

import typer

from evolvent.errors import printable
from evolvent.object_storage.urls import url_of, url_or_path


def print_page(folder: Path) -> None:
    """Write the page of a run or a ranking, and say where it is; a folder that holds neither has none.

    What the command was for is done and on disk: where the page cannot be written, the reason is said instead.
    """
    if find_spec("vl_convert") is None:
        typer.echo(
            f"\na page with its figures: pip install 'evolvent[report]', then evolvent report {url_or_path(folder)}"
        )
        return
    try:
        from evolvent.report.page.report import write_report
        from evolvent.report.page.source import is_told_of

        if not is_told_of(folder):
            return
        page = write_report(folder).page
        if (url := url_of(folder)) is not None:
            from evolvent.object_storage.save import save_others

            save_others(url, {})
    except Exception as error:  # whatever it is: a disk that is full, a figure that cannot be drawn
        typer.echo(printable(f"warning: no page was written: {error or type(error).__name__}"), err=True)
    else:
        typer.echo(f"\na page with its figures: {url_or_path(page)}")
