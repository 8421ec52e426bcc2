"""A preview as it is told: of each of the first records the prompts as sent, the raw replies, and the verdict."""

import textwrap
from collections.abc import Iterator

import typer

from evolvent.call_store.used import Asked
from evolvent.errors import printable
from evolvent.models.protocols import Reply
from evolvent.object_storage.urls import url_or_path
from evolvent.records import Record
from evolvent.report.pilot import projection
from evolvent.report.printing import print_tables
from evolvent.runs.run import Run
from evolvent.runs.stage import notes_of
from evolvent.words import number_of


def print_preview(run: Run) -> None:
    """What the first records of a run became, and what all of them would take. Nothing of it steers a terminal."""
    assert run.preview is not None
    trial, records, sampled = run.preview.trial, run.preview.records, run.preview.sampled
    rows = [row for row in trial.rows if row.round or row.teacher]  # a seed itself is not asked for
    for row in rows:
        for line in shown([one for one in trial.asked if one.row == row.id], row):
            typer.echo(printable(line))
    print_tables([projection(records, "records", {run.stage: trial})])
    several = f" ({number_of(len(rows), 'rows')})" if len(rows) != sampled else ""
    typer.echo(
        f"\npreview of {sampled:,} of {number_of(records, 'records')}{several}. Nothing else was done: the same "
        "command without --preview makes all of them, and does not pay these calls again, which are stored in "
        f"{url_or_path(run.path)}"
    )


def shown(asked: list[Asked], row: Record) -> Iterator[str]:
    """A row: its prompts and replies in their order, and its verdict."""
    by = f"round {row.round}, {row.operator or row.method}" if row.teacher is None else f"answer by {row.teacher}"
    yield f"== seed {row.seed_index}, {by}, id {row.id}"
    before = None
    for one in asked:
        yield f"-- prompt to {one.model}"
        if one.messages == before:
            yield _text("(the same once more: the reply could not be used)")
        else:
            yield from (f"  {turn['role']}:\n{_text(turn['content'])}" for turn in one.messages)
        before = one.messages
        if one.reply is not None:
            yield from replied(one.reply)
    yield f"-- verdict: {verdict(row)}"
    kept = row.question if row.teacher is None else row.output
    if row.status == "ok" and not any(one.reply and one.reply.text.strip() == kept.strip() for one in asked):
        yield f"-- kept of it\n{_text(kept)}"
    yield ""


def replied(reply: Reply) -> Iterator[str]:
    """A reply as it came, with what it is not the text of: reasoning, a refusal."""
    ended = " ".join(str(reply.finish_reason).split())
    yield f"-- reply ({ended}, {number_of(reply.usage.completion_tokens, 'tokens')})"
    for what, text in (("reasoning", reply.reasoning), ("refusal", reply.refusal), ("text", reply.text)):
        if text or what == "text":
            yield f"  {what}:\n{_text(text or '')}"


def verdict(row: Record) -> str:
    """What became of a row, in words."""
    if row.status == "ok":
        return "; ".join(["kept", *notes_of(row)])
    return f"{row.status}: {row.reason}"


def _text(text: str) -> str:
    """What others wrote, set in, so that no line of it passes for one of ours."""
    return textwrap.indent("\n".join(text.splitlines()), "    ", lambda _: True)
