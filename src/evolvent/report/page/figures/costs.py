"""What the stages took: time, tokens, and money where there are prices."""

from collections.abc import Iterator

from evolvent.models.short_names import short_names
from evolvent.report.page.figures.figure import Figure, high, name, number, plot, rounded, tips
from evolvent.report.page.source import Sources


def figures(sources: Sources) -> Iterator[Figure]:
    """A figure of the time, one of the tokens written, and one of the cost."""
    several = len(sources.runs) > 1
    spent = [(run, key.partition(":")[0], entry) for run in sources.runs for key, entry in run.entries.items()]
    seconds = [
        {"stage": stage, "run": run.name, "minutes": rounded(entry.wall_s / 60)}
        for run, stage, entry in spent
        if entry.wall_s
    ]
    if seconds:
        spec = plot(
            seconds,
            {"mark": {"type": "bar", "height": {"band": 0.85}}},
            height=high(seconds, "stage", 14 * len(sources.runs) if several else 26),
            y=name("stage", axis={"ticks": False, "domain": False}),
            **({"yOffset": name("run")} if several else {}),
            x=number("minutes", "minutes", scale={"zero": True}),
            color=name("run", legend={} if several else None),
            tooltip=tips("run", "stage", "minutes"),
        )
        yield Figure("time", "Time", "Time of work of each stage, all its sessions together.", spec)
    short = short_names(dict.fromkeys(uri for *_, entry in spent for uri in entry.paid))[0]
    accounts = [
        {
            "row": f"{stage}: {run.name}" if several else stage,
            "model": short[uri],
            "tokens": account["completion_tokens"],
            "cost": account.get("cost") or 0.0,
        }
        for run, stage, entry in spent
        for uri, account in entry.paid.items()
    ]
    for column, title, caption in (
        ("tokens", "Tokens written", "Completion tokens that were paid for in the folder, thrown away ones included."),
        ("cost", "Cost", "By the prices that were given; models without a price cost nothing here."),
    ):
        if any(one[column] for one in accounts):
            spec = plot(
                accounts,
                {"mark": {"type": "bar", "height": {"band": 0.8}}},
                height=high(accounts, "row"),
                y=name("row", axis={"ticks": False, "domain": False}),
                x=number(column, column, scale={"zero": True}, axis={"format": "~s"}),
                color=name("model"),
                tooltip=tips("row", "model", column),
            )
            yield Figure(column, title, caption, spec)
