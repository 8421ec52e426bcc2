"""The funnel: what became of the rows at each stage, with every reason."""

from collections import Counter
from collections.abc import Iterator, Mapping

from evolvent.report.page.figures.figure import COLOURS, OK, Figure, high, name, number, plot, tips
from evolvent.report.page.source import Source, Sources
from evolvent.runs.manifest import StageEntry
from evolvent.runs.yields import ELIMINATED, UNSCORED

WENT_ON = "went on"
MADE = {"self-instruct": "made", "evolve": "evolved", "respond": "answered", "score": "scored", "select": "selected"}
# Losses that are named in the legend; the rarer ones are one colour, and are named where they are pointed at.
NAMED = 8


def figures(sources: Sources) -> Iterator[Figure]:
    """The funnel of all runs."""
    funnels = {run.name: funnel(run) for run in sources.runs}
    stages = dict.fromkeys(stage for of in funnels.values() for stage in of)
    fates = [(run, stage, of[stage]) for stage in stages for run, of in funnels.items() if stage in of]
    if not fates:
        return
    several = len(sources.runs) > 1
    total = Counter[str]()
    for *_, of in fates:
        total.update({fate: n for fate, n in of.items() if n and fate != WENT_ON})
    named = [fate for fate, _ in total.most_common(NAMED)]
    rare = "other reasons"
    values = [
        {
            "stage": f"{stage}: {run}" if several else stage,
            "fate": fate if fate in (WENT_ON, *named) else rare,
            "reason": fate,
            "rows": n,
            "place": 0 if fate == WENT_ON else 1 + list(total).index(fate),
        }
        for run, stage, of in fates
        for fate, n in of.items()
        if n
    ]
    shown = [fate for fate in (WENT_ON, *named, rare) if any(one["fate"] == fate for one in values)]
    others = [colour for colour in COLOURS if colour != OK]
    colours = [OK if fate == WENT_ON else others[(place - 1) % len(others)] for place, fate in enumerate(shown)]
    spec = plot(
        values,
        {"mark": {"type": "bar", "height": {"band": 0.8}}},
        height=high(values, "stage"),
        y=name("stage", axis={"ticks": False, "domain": False}),
        x=number("rows", "rows", stack="zero", scale={"zero": True}, axis={"tickMinStep": 1}),
        color=name("fate", scale={"domain": shown, "range": colours}),
        order={"field": "place"},
        tooltip=tips("stage", "reason", "rows"),
    )
    lost = ", ".join(f"{fate} {n:,}" for fate, n in total.most_common())
    yield Figure("funnel", "What came through", f"Not usable, over all stages: {lost or 'nothing'}.", spec)


def funnel(run: Source) -> dict[str, dict[str, int]]:
    """By stage, what became of its rows: those that went on, and of the others how many for each reason."""
    found: dict[str, dict[str, int]] = {}
    for key, entry in run.entries.items():
        stage = key.partition(":")[0]
        if stage in MADE and (fates := dict(_fates(stage, entry))):
            found[MADE[stage] if key == stage else f"{MADE[stage]} ({key.partition(':')[2]})"] = fates
    return found


def _fates(stage: str, entry: StageEntry) -> Iterator[tuple[str, int]]:
    counts = entry.counts
    if stage == "select":
        yield from _selected(counts)
        return
    unscored = {note.removeprefix(UNSCORED): n for note, n in counts.get("notes", {}).items() if UNSCORED in note}
    if "ok" in counts:
        yield WENT_ON, max(0, counts["ok"] - sum(unscored.values()))
    reasons = Counter[str]()
    for fates in counts.get("groups", {}).values():
        reasons.update({fate.removeprefix(ELIMINATED): n for fate, n in fates.items() if fate != "ok"})
    if not reasons:
        reasons.update({status: counts.get(status, 0) for status in ("eliminated", "failed")})
    yield from (reasons + Counter(unscored)).most_common()


def _selected(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """What a selection counts: the rows that it kept, and for the others why."""
    yield WENT_ON, counts["selected"]
    yield "not among the best", counts["competing"] - counts["selected"]
    yield from ((why, n) for why, n in counts.items() if why not in ("rows", "competing", "selected"))
