"""The options of card and push."""

from dataclasses import dataclass
from pathlib import Path

from evolvent.options import Interface, argument, option

RUN = argument("A run folder.", "RUN", more="Or a Run.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Describing:
    """What the card says that no run tells."""

    license: str | None = option(
        "The data's licence, as the Hub names it: cc-by-4.0, say; if not given, declared only where it is known.",
        None,
        metavar="ID",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFile:
    """Where the card goes."""

    out: Path | None = option(
        "The card; README.md in the run folder if not given. Its figures go into figures/ beside it.",
        None,
        metavar="README.md",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushing:
    """Where the data set goes."""

    repo: str = option("The data set's repository on the Hub; it is made if it is not there.", metavar="OWNER/NAME")
    private: bool = option("Make it one that only its owner sees; refused where it is there and public.", False)
    overwrite: bool = option(
        "Replace README.md, data/ and figures/ of a repository that holds files; its others stay.", False
    )
    dry_run: bool = option("Say what would be uploaded, and neither ask nor tell the Hub anything.", False)


CARD = Interface("evolvent.publishing.card", "write_card", {"run": RUN}, (Describing, CardFile))
PUSH = Interface("evolvent.publishing.push", "push", {"run": RUN}, (Describing, Pushing))
