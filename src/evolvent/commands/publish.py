"""The command that uploads a run: it says what goes there before anything does."""

from typing import TYPE_CHECKING, Annotated

from evolvent.options import takes
from evolvent.publishing.options import RUN, Describing, Pushing
from evolvent.report.printing import print_uploads

if TYPE_CHECKING:
    from evolvent.publishing.push import Pushed
    from evolvent.publishing.repository import Repository


@takes(Describing, Pushing)
def push(run: Annotated[str, RUN], describing: Describing, pushing: Pushing) -> "Pushed":
    """Upload a run's data to the Hugging Face Hub, with a card."""
    from evolvent.publishing.push import committed, prepared

    with prepared(run, describing, pushing) as (uploads, repository):
        print_uploads(
            f"{pushing.repo}, a {_kind(repository)}data set on the Hub", [(one.path, one.size) for one in uploads]
        )
        return committed(uploads, repository, pushing)


def _kind(repository: "Repository | None") -> str:
    if repository is None:
        return ""
    new = "new " if repository.head is None else ""
    return new + ("private " if repository.private else "" if new else "public ")  # a new one is as its owner's are
