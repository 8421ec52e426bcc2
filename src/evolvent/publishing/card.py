"""card: what a run has made, as the card of a data set on the Hugging Face Hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from evolvent.errors import InputError
from evolvent.files import output_path, replacing
from evolvent.options import implements
from evolvent.publishing import describe
from evolvent.publishing.configs import HOLDS, Config, configs_of, not_ready
from evolvent.publishing.markdown import is_as_written, render
from evolvent.publishing.options import CARD, CardFile, Describing
from evolvent.publishing.public import Public, public
from evolvent.ranking.candidates import PLAN
from evolvent.report.contents import STUDENT_NOTE, contents
from evolvent.report.page.drawing import write_figures
from evolvent.report.page.figures import distributions, funnel, ifd, reward, rounds, search, win
from evolvent.report.page.figures.figure import Figure
from evolvent.report.page.provenance import provenance
from evolvent.report.page.source import Source, Sources
from evolvent.report.page.verdict import usable_rows
from evolvent.runs.manifest import StageEntry, read_manifest
from evolvent.runs.no_run import no_run
from evolvent.runs.run import Run
from evolvent.special_files import is_written_through

NAME, FIGURES = "README.md", "figures"
SEARCH = "optimize-method"  # the stage that decides how others make data
# The figures that tell of data: not those of costs, students and their evaluation.
OF_DATA = (funnel, search, rounds, win, distributions, ifd, reward)


@dataclass(frozen=True, slots=True)
class Published:
    """A run as everybody may see it.

    Attributes:
        folder: the run folder.
        entries: its manifest, as it is.
        public: what everybody may see of it.
        configs: the configurations of the data set.
    """

    folder: Path
    entries: Mapping[str, StageEntry]
    public: Public
    configs: Sequence[Config]

    @property
    def source(self) -> Source:
        """The run as a report tells of it, with public names."""
        entries = {key: self.public.entry(entry) for key, entry in self.entries.items()}
        return Source(self.folder.absolute().name, self.folder, entries)


@dataclass(frozen=True, slots=True)
class Card:
    """A card.

    Attributes:
        path: its file.
        figures: the files of its figures.
    """

    path: Path
    figures: Sequence[Path]


@implements(CARD)
def write_card(run: str | Path | Run, *, describing: Describing, file: CardFile) -> Card:
    """Write the card of a data set that is made of a run: what ``push`` would upload as README.md, with its figures.

    Returns:
        Where it is.

    Raises:
        InputError: the folder holds no data of a run, or there is a file that no card of ours is.
    """
    found = published(run)
    out = output_path(file.out or found.folder / NAME)
    through = is_written_through(out)
    if not through and out.exists() and not is_as_written(out.read_text(encoding="utf-8", errors="replace")):
        raise InputError(
            f"{out} is there, and evolvent card did not write it, or it was changed since",
            fix="Name another file: --out CARD.md",
        )
    figures = [] if through else figures_of(found)
    text = card_text(found, found.folder.absolute().name, describing, figures)
    with replacing(out) as opened:
        opened.write(text.encode("utf-8", "replace"))
    return Card(out, write_figures(figures, out.parent / FIGURES) if figures else [])


def published(run: str | Path | Run) -> Published:
    """A run folder as everybody may see it.

    Raises:
        InputError: it holds no data of a run.
    """
    folder = run.path if isinstance(run, Run) else Path(run).expanduser()
    entries = read_manifest(folder)
    if not entries:
        raise _no_run(folder)
    configs = configs_of(folder, entries)
    if not configs and not list(not_ready(folder, entries)):
        raise InputError(
            f"{folder} holds no data to publish: {', '.join(entries)}",
            fix="Name the run folder that evolve, respond, score or select wrote to.",
        )
    return Published(folder, entries, public(entries.values()), configs)


def _no_run(folder: Path) -> InputError:
    if (folder / STUDENT_NOTE).is_file():
        return InputError(
            f"{folder} is a student: a model, not data",
            fix=f"Upload it as one: hf upload OWNER/NAME {folder} . --repo-type model. The card is of the run folder "
            "that holds its training set.",
        )
    if (folder / PLAN).is_file():
        return InputError(f"{folder} is a ranking's", fix="Name the run folder of one of its candidates.")
    return no_run(folder)


def figures_of(found: Published) -> list[Figure]:
    """The figures of a run as everybody may see them; none where what draws them is not installed."""
    if find_spec("vl_convert") is None:
        return []
    sources = Sources([found.source])
    made = [figure for module in OF_DATA for figure in module.figures(sources)]
    return [replace(one, caption=found.public.text(one.caption)) for one in made]


def card_text(
    found: Published, title: str, describing: Describing, figures: Sequence[Figure], repo: str = "OWNER/NAME"
) -> str:
    """The card.

    Args:
        found: the run.
        title: what the data set is called.
        describing: what no run tells.
        figures: those that stand beside it.
        repo: its repository.
    """
    run = found.source
    made = {key: entry for key, entry in run.entries.items() if key.partition(":")[0] in (SEARCH, *HOLDS)}
    seeds = describe.seeds_of(found.entries)
    models = describe.models_of(found.entries, found.public)
    license = describing.license or describe.licence(seeds, models)
    scored = contents(found.folder, "score").scores if "score" in run.entries else {}
    return render(
        describe.front_matter(title, found.configs, run.entries, seeds, license),
        {
            "title": title,
            "lead": describe.lead(seeds, models),
            "made_up": describe.made_up(models),
            "sentences": list(usable_rows(run)),
            "configs": found.configs,
            "repo": repo,
            "unfinished": list(not_ready(found.folder, found.entries)),
            "fates": describe.fates_of(run),
            "seeds": seeds,
            "models": models,
            "told": bool(describing.license),
            "license": license,
            "method": list(describe.method_of(run.entries)),
            "reasons": describe.reasons_of(run),
            "rules": list(describe.rules_of(run.entries)),
            "scores": describe.scores_of(scored),
            "limits": list(describe.limits_of(run.entries, scored=bool(scored))),
            "figures": figures,
            "undrawn": find_spec("vl_convert") is None,
            "made": list(provenance(replace(run, entries=made))),
        },
    )
