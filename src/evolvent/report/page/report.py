"""report: what runs have come to, as one HTML file, and its figures for papers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from evolvent.errors import InputError
from evolvent.files import output_path, replacing
from evolvent.options import implements
from evolvent.report.contents import contents
from evolvent.report.page.compared import compared
from evolvent.report.page.drawing import browser_scripts, write_figures
from evolvent.report.page.figures import figures_of
from evolvent.report.page.figures.figure import THEME
from evolvent.report.page.options import REPORT, Reporting
from evolvent.report.page.provenance import planned, provenance
from evolvent.report.page.render import render
from evolvent.report.page.rows import block
from evolvent.report.page.source import read_sources
from evolvent.report.page.verdict import verdicts
from evolvent.report.ranking import ranking_tables
from evolvent.report.summary import summary
from evolvent.runs.manifest import now
from evolvent.runs.run import Run
from evolvent.special_files import is_written_through
from evolvent.storage_errors import explained

NAME = "report.html"
# What every page of ours has in its head, within so many bytes.
MARK, HEAD = " · evolvent</title>".encode(), 1 << 16


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        page: its file.
        figures: the files of its figures, where they were asked for.
        rows: how many records the page holds; ``of``: how many there are.
        size: of the page, in bytes.
    """

    page: Path
    figures: Sequence[Path]
    rows: int
    of: int
    size: int


@implements(REPORT)
def write_report(runs: str | Path | Run | Sequence[str | Path | Run], *, given: Reporting) -> Report:
    """Write what runs have come to as one HTML file, to be opened from the disk: it asks no network for anything.

    Returns:
        Where it is, and what it holds.

    Raises:
        InputError: a folder is neither a run's nor a ranking's, there is a file that no page of ours is, or the
            ``report`` extra is not installed.
    """
    named = [runs] if isinstance(runs, str | Path | Run) else runs
    folders = [run.path if isinstance(run, Run) else Path(run) for run in named]
    sources = read_sources(folders)
    out = output_path(given.out or folders[0] / NAME)
    _check_ours(out)
    ranked = [(one.folder.name, list(ranking_tables(one))) for one in sources.rankings]
    plans = [made for one in sources.rankings for made in planned(one)]
    if not sources.rankings and (found := compared(sources.whole)) is not None:
        sources = replace(sources, rankings=[found])
    libraries = browser_scripts()
    figures, rows = figures_of(sources), block(sources)
    data = {
        "theme": THEME,
        "figures": [figure.spec for figure in figures],
        "runs": [run.name for run in sources.runs],
        "folders": [str(run.folder) for run in sources.runs],
        "scores": rows.scores,
    }
    values = {
        "runs": len(sources.runs),
        "title": ", ".join(folder.absolute().name for folder in folders),
        "verdicts": verdicts(sources),
        "figures": figures,
        "tables": [*ranked, *((run.name, summary(contents(run.folder))) for run in sources.runs)],
        "made": [*plans, *(one for run in sources.runs for one in provenance(run))],
        "folders": list(map(str, folders)),
        "version": metadata.version("evolvent"),
        "at": now(),
    }
    page = render(values | {"block": rows}, data, rows.text, libraries).encode("utf-8", "replace")
    with replacing(out) as file:
        file.write(page)
    written = write_figures(figures, given.figures) if given.figures else []
    return Report(out, written, rows.rows, rows.of, len(page))


def _check_ours(out: Path) -> None:
    """Check that a file in the page's place is a page, too.

    Raises:
        InputError: it is not.
    """
    if is_written_through(out) or not out.is_file():
        return
    with explained(out, "read"), out.open("rb") as file:
        head = file.read(HEAD)
    if head and MARK not in head:
        raise InputError(
            f"{out} is there, and evolvent report did not write it", fix="Name another file: --out FILE.html"
        )
