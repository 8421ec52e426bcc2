"""What the commands print: what a run holds, where the files are, what this machine can run."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evolvent.errors import printable
from evolvent.object_storage.urls import url_or_path
from evolvent.words import number_of

if TYPE_CHECKING:
    from evolvent.call_store.log import StoredCall
    from evolvent.costs.estimates import Estimate
    from evolvent.environment import Finding
    from evolvent.evolution.autoif.verify import VerifyCounts
    from evolvent.exporting.export import Exported
    from evolvent.publishing.card import Card
    from evolvent.publishing.push import Pushed
    from evolvent.report.contents import Contents
    from evolvent.report.page.report import Report
    from evolvent.report.tables import Table
    from evolvent.training.train import Trained

OUTSIDE_A_TERMINAL = 120  # the width of tables

AGAIN = "the same command with --retry-empty asks for them again"

# Characters of a long turn or reply in a list of calls.
SHOWN = 200
SHOWN_OF_THE_END = 400


def print_run(run: Any) -> None:
    """How a command ended: its stages' tables and files, what to do about failures; of a dry run, the estimates."""
    stages = _runs(run)
    if run.estimate is not None:
        for stage in stages:
            print_estimate(stage.estimate)
        return
    if all(stage.already_done for stage in stages):
        file, folder = url_or_path(run.output), url_or_path(run.path)
        typer.echo(f"nothing to do: {file} is finished; evolvent show {folder} says what it holds")
    else:
        print_summary(run.path, stage=None if run.stages else run.stage)
        files = [file for stage in stages if not stage.already_done for file in (stage.output, *stage.others)]
        for stage in stages:
            print_made(stage)
        typer.echo(f"\nwritten: {', '.join(map(url_or_path, files))}")
    if run.output.suffix == ".parts":
        typer.echo(f"this shard is made; when all are: evolvent merge {url_or_path(run.path.parents[1])}")
    for stage in stages:
        print_fates(stage)


def print_made(run: Any) -> None:
    """What this command did of a stage, where that is not all of it: an earlier one began it, or calls were stored."""
    made, used = run.made, run.counts.get("tokens", {}).get("out", 0)
    if made and made["completion_tokens"] < used:
        records = f"{made['records']:,} of {number_of(made['records'] + made['before'], 'records')}"
        tokens = f"{made['completion_tokens']:,} of {number_of(used, 'tokens')} out"
        typer.echo(f"{run.stage}: of all this, this command made {records}, {made['calls']:,} new calls, {tokens}")


def print_fates(run: Any) -> None:
    """What a user must not miss of a stage's rows: that none passed, that some failed."""
    from evolvent.call_store.ask import THINKING  # with all that calls models

    counts = run.counts
    if counts.get("eliminated") and not counts.get("ok"):
        reasons: Counter[str] = Counter()
        for fates in counts.get("groups", {}).values():
            reasons.update({fate.removeprefix("eliminated: "): n for fate, n in fates.items() if fate != "failed"})
        why = ", ".join(f"{reason} {n:,}" for reason, n in reasons.most_common())
        eliminated, failed = counts["eliminated"], counts.get("failed", 0)
        which = f"none of {number_of(eliminated + failed, 'rows')} is ok: {failed:,} failed, {eliminated:,}"
        if not failed:
            which = f"all {number_of(eliminated, 'rows')} were"
        words = f"warning: {run.stage}: {which} eliminated: {why}; see evolvent calls {url_or_path(run.path)}"
        typer.echo(printable(words), err=True)
    for reason, hint in {"empty": AGAIN, **THINKING}.items():
        rows = sum(fates.get(f"eliminated: {reason}", 0) for fates in counts.get("groups", {}).values())
        if rows:
            typer.echo(f"{run.stage}: {rows:,} came back {reason}; {hint}")
    if counts.get("failed"):
        failed = f"{run.stage}: {counts['failed']:,} failed"
        typer.echo(f"{failed}; the same command with --retry-failed takes just those again")


def print_estimate(estimate: "Estimate") -> None:
    """What a dry run found: the first prompts, what the stage would take, and what the figures rest on."""
    from evolvent.report.estimates import notes_of, prompts_of, tables_of

    for prompt in prompts_of(estimate):
        typer.echo(f"{printable(prompt)}\n")
    print_tables(tables_of(estimate))
    for note in notes_of(estimate):
        typer.echo(note)


def print_estimates(stages: dict[str, Any], left_out: dict[str, str]) -> None:
    """What a dry run found of a recipe's stages, and why it says nothing of the others."""
    from evolvent.report.contents import described
    from evolvent.selection.select import Selection
    from evolvent.training.train import Trained

    for key, done in stages.items():
        if isinstance(done, Selection):
            typer.echo(f"{key}: {described(done.counts)}")
        elif isinstance(done, Trained):
            lines = done.preflight.lines() if done.preflight is not None else [f"{done.path} is finished"]
            typer.echo("\n".join(f"{key}: {line}" for line in lines))
        else:
            for stage in _runs(done):
                print_estimate(stage.estimate)
    for key, maker in left_out.items():
        typer.echo(f"{key}: nothing can be said yet: it reads what {maker} has yet to make")


def print_calls(found: "Iterable[StoredCall]", total: int, why_none: Sequence[str]) -> None:
    """Calls, one after the other.

    Args:
        found: those to print.
        total: how many there are, with those that are not printed.
        why_none: what to say where there are none.
    """
    more = total
    for call in found:
        more -= 1
        took = f"{call.seconds:.2f} s, waiting included"
        typer.echo(printable(f"[{call.at}] {call.stage} {call.record} {call.model} {took}"))
        if isinstance(call.request, str):
            typer.echo(f"  damaged request: {_short(call.request)}")
        else:
            for turn in call.request.get("messages", ()):
                typer.echo(f"  {printable(turn['role'])}: {_short(turn['content'])}")
        if isinstance(call.reply, str):
            typer.echo(f"  damaged reply: {_short(call.reply)}")
        elif call.reply is not None:
            text = str(call.reply.get("text", call.reply))
            typer.echo(f"  reply ({printable(call.reply.get('finish_reason', 'token losses'))}): {_short(text)}")
        if call.error is not None:
            words = call.error if isinstance(call.error, str) else str(call.error.get("error", call.error))
            typer.echo(f"  failed: {printable(words)}")
    typer.echo(
        number_of(total, "calls") + (f", {more:,} not shown: --limit N, or --out FILE.jsonl" if more > 0 else "")
    )
    for line in why_none:
        typer.echo(line)


def _short(text: str) -> str:
    """A turn or a reply on one line: its beginning and its end, where it is long; a prompt's own text stands last."""
    text = printable(" ".join(text.split()))
    if len(text) <= SHOWN + SHOWN_OF_THE_END:
        return text
    left_out = len(text) - SHOWN - SHOWN_OF_THE_END
    return f"{text[:SHOWN]} … ({left_out:,} characters left out) … {text[-SHOWN_OF_THE_END:]}"


def print_summary(folder: Path, *, stage: str | None = None, examples: int = 0) -> None:
    """What a run folder holds, or one of its stages: its yield first, then its tables and so many trajectories."""
    from evolvent.report.contents import contents

    print_contents(contents(folder, stage, examples))


def print_contents(found: "Contents") -> None:
    """What ``evolvent.show`` found."""
    from evolvent.report.summary import conclusions, summary, yields

    for line in yields(found):
        typer.echo(printable(line))
    print_tables(summary(found))
    for line in conclusions(found):
        typer.echo(printable(line))


def print_tables(tables: "Iterable[Table]") -> None:
    """Tables with their titles and notes, in the width of the terminal (120 where there is none)."""
    from rich.console import Console
    from rich.text import Text

    from evolvent.report.widths import laid_out

    console = Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else OUTSIDE_A_TERMINAL)
    for table in map(_printable, tables):
        typer.echo()
        console.print(Text(table.title, style="bold"), soft_wrap=True)
        shown = laid_out(table, console.width)
        typer.echo(shown) if isinstance(shown, str) else console.print(shown)
        for note in table.notes:
            typer.echo(note)


def _printable(table: "Table") -> "Table":
    rows = [tuple(map(printable, row)) for row in table.rows]
    columns, notes = tuple(map(printable, table.columns)), tuple(map(printable, table.notes))
    return replace(table, title=printable(table.title), columns=columns, rows=rows, notes=notes)


def print_stages(folder: Path, stages: dict[str, Any], *, examples: int = 0) -> None:
    """What a recipe's stages did: the run's tables if any of them did something, and the file that each wrote."""
    nothing = all(run.already_done for done in stages.values() for run in _runs(done))
    if not nothing:
        print_summary(folder, examples=examples)
    print_files(stages)
    if nothing:
        typer.echo(f"nothing to do; evolvent show {url_or_path(folder)} says what it holds")


def print_report(done: "Report") -> None:
    """Where a report is, and what of the records it holds."""
    sample = "" if done.rows == done.of else f" of {done.of:,}, a sample"
    typer.echo(f"written: {url_or_path(done.page)} ({done.size / 1e6:.1f} MB, {done.rows:,} records{sample})")
    if done.figures:
        typer.echo(f"{len(done.figures):,} files of figures in {done.figures[0].parent}")


def print_card(done: "Card") -> None:
    """Where a card is, and its figures."""
    typer.echo(f"written: {url_or_path(done.path)}")
    if done.figures:
        typer.echo(f"{len(done.figures):,} files of figures in {done.figures[0].parent}")


def print_uploads(to: str, files: Sequence[tuple[str, int]]) -> None:
    """What a push is about to upload."""
    from evolvent.report.tables import Table

    total = f"{number_of(len(files), 'files')}, {sum(size for _, size in files) / 1e6:,.2f} MB in all"
    rows = [(path, f"{size / 1e3:,.1f} kB") for path, size in files]
    print_tables([Table(f"to {to}", ("file", "size"), rows, (total,))])


def print_pushed(done: "Pushed") -> None:
    """How a push ended."""
    if done.url is None:
        typer.echo("a dry run: nothing was uploaded")
    elif done.already_done:
        typer.echo(f"nothing to do: {done.url} holds these files")
    else:
        typer.echo(f"uploaded: {done.url}, commit {done.commit}")


def print_files(stages: dict[str, Any]) -> None:
    """The file that each stage wrote, a line each, and what must not be missed of its rows."""
    from evolvent.report.contents import described
    from evolvent.selection.select import Selection
    from evolvent.training.train import Trained

    for stage, done in stages.items():
        of_name = "".join(stage.partition(":")[1:])  # of respond:brief the name, which its runs have, too
        if isinstance(done, Trained):
            already = " (was done already)" if done.already_done else ""
            last = f", loss {done.loss[-1][1]:.4g} at the last step" if done.loss else ""
            typer.echo(f"{stage}: {url_or_path(done.path)}, {number_of(done.counts['steps'], 'steps')}{last}{already}")
            continue
        for run in _runs(done):
            already = " (was done already)" if run.already_done else ""
            if isinstance(run, Selection):
                files = [f"\n  {file}" for file in (run.path, run.note) if file is not None]
                typer.echo(f"{stage}: {described(run.counts)}{already}{''.join(files)}")
            else:
                typer.echo(f"{run.stage}{of_name}: {', '.join(map(url_or_path, (run.output, *run.others)))}{already}")
                print_fates(run)


def print_trained(done: "Trained") -> None:
    """What ``evolvent train`` did, or would do."""
    from evolvent.report.tables import Table
    from evolvent.runs.progress import time_words
    from evolvent.training.loss_curve import in_bins

    if not done.loss and done.preflight is not None:
        for line in done.preflight.lines():
            typer.echo(line)
        return
    if done.already_done:
        typer.echo(f"nothing to do: {done.path} is finished; it is the model hf:{done.path}")
        return
    rows = [(f"{first:,} to {last:,}", f"{loss:.4f}") for first, last, loss in in_bins(done.loss)]
    pace = "not measured" if done.tokens_per_second is None else f"{done.tokens_per_second:,.0f}"
    took = f"{time_words(done.seconds)}, tokens with loss a second: {pace}"
    print_tables([Table("loss", ("steps", "mean loss"), rows, (took,))])
    typer.echo(f"\nwritten: {done.path}, the model hf:{done.path}")


def _runs(done: Any) -> tuple[Any, ...]:
    """A recipe's stage as the stages that it ran: AutoIF is three."""
    return tuple(getattr(done, "stages", {}).values()) or (done,)


def print_exported(done: "Exported") -> None:
    """What ``evolvent export`` wrote, how to train with it, and what is to be known of it."""
    from evolvent.report.contents import described

    typer.echo(f"{described(done.counts)}; the longest has {number_of(done.longest, 'tokens')}")
    for file in done.files:
        typer.echo(f"  {file}")
    for note in done.notes:
        typer.echo(f"note: {printable(note)}")
    typer.echo(f"train: cd {done.path} && {done.start}")


def print_verified(found: "VerifyCounts") -> None:
    """What ``evolvent verify`` found."""
    from evolvent.report.tables import Table

    rows = [("rows", found.rows), *((f"matched by {how}", n) for how, n in found.matched.items())]
    rows += [("unmatched", found.unmatched), ("without an answer", found.empty)]
    rows += [("no verdict", found.no_verdict.total())]
    rows += [(f"no verdict: {why}", n) for why, n in found.no_verdict.most_common()]
    rows += [("pass more than half of their functions", found.majority), ("pass all of them", found.strict)]
    rows += found.left_out.items()
    mean = found.mean_accuracy
    notes = () if mean is None else (f"mean accuracy {mean:.4f}: the share of its functions that an answer passes",)
    print_tables([Table("verification", ("", "rows"), [(what, f"{n:,}") for what, n in rows], notes)])
    if found.out is not None:
        typer.echo(f"\nwritten: {url_or_path(found.out)}")


def print_findings(findings: "Iterable[Finding]") -> None:
    """What ``evolvent doctor`` found, a line each."""
    for finding in findings:
        mark = "yes" if finding.usable else "no "
        typer.echo(f"{mark}  {finding.subject:<14} {finding.found}{f'  ({finding.note})' if finding.note else ''}")
