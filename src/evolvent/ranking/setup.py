"""What each step of a ranking goes by, from the candidates' work to their students."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from evolvent.costs.prices import money
from evolvent.errors import BudgetReachedError
from evolvent.models.models import Models
from evolvent.models.short_names import short_names
from evolvent.options import Calling
from evolvent.ranking.candidates import TRIAL, Candidates
from evolvent.ranking.options import WITHOUT, RankEvolvers, Ranking, Trial
from evolvent.runs.manifest import read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A ranking that is under way.

    Attributes:
        candidates: on their way.
        given, trial, calling: as they were asked for.
        models: opened once for all candidates.
        seeds: by question of the sample the seed that it was evolved from, where it was.
        by: how evolvers evolve, if the candidates are evolvers.
    """

    candidates: Candidates
    given: Ranking
    trial: Trial
    calling: Calling
    models: Models
    seeds: Mapping[str, str] = field(default_factory=dict)
    by: RankEvolvers | None = None

    @property
    def short(self) -> Mapping[str, str]:
        """What to call each candidate."""
        return short_names(self.candidates.folders)[0]

    def calls(self, folder: Path) -> dict[str, Any]:
        """How a candidate's next stage makes its calls: as all do, with what the others left of the budget.

        Raises:
            BudgetReachedError: the others left nothing.
        """
        options = {one.name: getattr(self.calling, one.name) for one in fields(self.calling) if one.name not in WITHOUT}
        budget = self.calling.budget
        if budget is not None:
            others = sum(_cost(other) for other in self.candidates.folders.values() if other != folder)
            if others >= budget:
                raise BudgetReachedError(
                    f"the budget is reached: {money(others)} of {money(budget)} spent by the other candidates",
                    fix="Nothing is lost. Start the same command with a higher --budget to go on.",
                )
            options["budget"] = budget - others
        return options


def _cost(folder: Path) -> float:
    """What the calls of a candidate have cost, those of its trial among them, where there is a price."""
    folders = (folder, *folder.glob(f"{TRIAL}/*/*/"))
    accounts = [account for one in folders for entry in read_manifest(one).values() for account in entry.paid.values()]
    return float(sum(account["cost"] or 0.0 for account in accounts))
