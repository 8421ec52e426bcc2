"""What the demo shows at its end: its funnel, three chains from seed to score, and what to make of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import typer

from evolvent.records import CUT, Record
from evolvent.report.printing import print_files, print_tables
from evolvent.report.tables import Table
from evolvent.runs.record_files import read_records
from evolvent.selection.select import Selection

if TYPE_CHECKING:
    from evolvent.evaluation.paired import Difference

# Characters of a text in a chain.
SHOWN = 320

METRICS = ("ifd", "ic_ifd")

REAL = """
smollm2 (SmolLM2-135M-Instruct) writes good English and gets facts, sums and code wrong: read its
answers with that in mind. A high score is no sign of a right answer: it says how little the
instruction helps the base model to write it. Nor can a model of this size evolve: of 24 other
seeds that smollm2 evolved (--profile small --retry-eliminated 3) 22 passed the rules, and 6 were
usable when read. So embedded evolved here, which knows a small made-up world. This data is not for
training. Models of 0.5 to 8 billion parameters do better."""

EMBEDDED = """
The embedded models have 2.6 million parameters and know a small made-up world. They are for trying
the tool: this data is not for training."""

STUDENT = """
The student was embedded-base-sums, a base model that ships, before it was trained on the {rows:,} rows
that select chose of {competing:,} in {folder}. {verdict}
More rows of the right kind do more: see docs/training.md."""

NEXT = """
look next:
  evolvent show {out}       what the run holds: yields, tokens, scores
  evolvent calls {out}      every call with its prompt and its reply
with your own seeds and a model of 0.5 to 3 billion parameters:
  evolvent evolve SEEDS --model gguf:FILE --profile small --retry-eliminated 3 --out RUN"""


def print_demo(folder: Path, stages: Mapping[str, Any]) -> None:
    """What came of the demo.

    Args:
        folder: its run folder.
        stages: what each stage returned, by its name.
    """
    evolved = list(read_records(stages["evolve"].output))
    scored = list(read_records(stages["score"].output))
    selection: Selection = stages["select"]
    lines = selection.path.read_bytes().splitlines()
    selected = {orjson.loads(line)["meta"]["id"] for line in lines}
    print_tables([funnel(evolved, scored, len(selected)), *chains(evolved, scored, selected)])
    typer.echo(REAL if scored[0].teacher == "smollm2" else EMBEDDED)
    for key, evaluated in stages.items():
        if key.startswith("evaluate"):
            chosen: Selection = stages[key.replace("evaluate", "select")]
            print_tables([student(evaluated.differences)])
            typer.echo(
                STUDENT.format(
                    rows=chosen.counts["selected"],
                    competing=chosen.counts["competing"],
                    folder=evaluated.path,
                    verdict=" ".join(verdict(one) for one in evaluated.differences),
                )
            )
    typer.echo("")
    print_files(dict(stages))
    typer.echo(NEXT.format(out=folder))


def funnel(evolved: Sequence[Record], scored: Sequence[Record], selected: int) -> Table:
    """How many rows came through each stage, and why the others did not."""
    evolutions = [record for record in evolved if record.round]
    rows = [("seeds", len(evolved) - len(evolutions))]
    for fate, n in Counter(map(_fate, evolutions)).most_common():
        rows.append((f"evolved: {fate}", n))
    if all(record.status == "ok" for record in evolutions):
        rows.append(("evolved: eliminated", 0))
    for fate, n in Counter(map(_fate, scored)).most_common():
        rows.append((f"answered and scored: {fate}", n))
    return Table("what came through", ("", "rows"), [(what, f"{n:,}") for what, n in [*rows, ("selected", selected)]])


def student(found: "Sequence[Difference]") -> Table:
    """The student's figures before and after its training."""
    rows = [
        (_ability(one), f"{one.n:,}", f"{100 * one.theirs:.0f} %", f"{100 * one.ours:.0f} %", _points(one))
        for one in found
    ]
    notes = ("held-out questions of the embedded world, whose answers code checks; difference: paired, with 95 %",)
    return Table("a student, before and after", ("", "questions", "before", "after", "difference"), rows, notes)


def verdict(found: "Difference") -> str:
    """What a difference says, and whether it says anything."""
    if found.low is not None and found.high is not None and found.low <= 0 <= found.high:
        return f"Of {_ability(found)}, {found.n:,} questions show no difference."
    return f"It became {'better' if found.difference > 0 else 'worse'} at {_ability(found)}."


def _ability(found: "Difference") -> str:
    return found.task.removeprefix("embedded_")


def _points(found: "Difference") -> str:
    interval = "" if found.low is None else f" [{100 * found.low:+.0f}, {100 * (found.high or 0):+.0f}]"
    return f"{100 * found.difference:+.0f}{interval}"


def _fate(record: Record) -> str:
    if record.status == "ok":
        return f"ok, but the answer is cut ({record.finish_reason})" if _is_cut(record) else "ok"
    return f"{record.status}: {record.reason}"


def chains(evolved: Sequence[Record], scored: Sequence[Record], selected: set[str]) -> Iterator[Table]:
    """Three chains from seed to score: the best and the worst by ``ic_ifd``, and one that could not be selected."""
    seeds = {record.id: record for record in evolved if not record.round}
    ranked = sorted((one for one in scored if one.scores.get("ic_ifd") is not None), key=_score)
    left_out = [*(one for one in evolved if one.status != "ok"), *filter(_is_cut, ranked)]
    competing = [one for one in ranked if not _is_cut(one)]
    third = ("left out", left_out[0]) if left_out else ("in the middle", competing[len(competing) // 2])
    best = ("the highest ic_ifd", competing[-1])
    for title, record in (best, ("the lowest ic_ifd", competing[0]), third):
        yield _chain(title, record, seeds[record.seed_id], chosen=record.id in selected)


def _score(record: Record) -> float:
    return float(record.scores["ic_ifd"] or 0)


def _chain(title: str, record: Record, seed: Record, *, chosen: bool) -> Table:
    verdict = f"{record.operator}: {record.status}" + (f", {record.reason}" if record.reason else "")
    rows = [(f"evolved by {record.evolver}", record.question), ("verdict", verdict)]
    if record.output:
        scores = (f"{name} {value:.3f}" for name in METRICS if isinstance(value := record.scores[name], float))
        rows += [(f"answered by {record.teacher}", record.output), ("scores", ", ".join(scores))]
    cut = f"; the answer is cut ({record.finish_reason})" if _is_cut(record) else ""
    rows.append(("selected", ("yes" if chosen else "no") + cut))
    return Table(title, ("seed", _short(seed.question)), [(what, _short(text)) for what, text in rows])


def _is_cut(record: Record) -> bool:
    return bool(record.output) and record.finish_reason in CUT


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} …"
