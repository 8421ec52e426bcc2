"""Do proxies, or a short trial training, foretell a full one? Six teachers of known quality, in the embedded world.

    python -m tools.embedded.trial --out build/trial    # the teachers, and problems for them
    python -m benchmarks.trial build/trial --out build/trial/study

Truth is a full-length training: each teacher answers all problems, three students of `embedded-base-sums` are trained
on the answers, and evaluated on `embedded_sums`. Beside it stand what `rank teachers --trial` says of the same teachers
by a sample of the problems, for each of --trial-rows, and what proxies say. Goes on where it was stopped.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import evolvent
from evolvent.ranking.result import BaseRanking
from evolvent.report.printing import print_tables
from evolvent.report.ranking import validation_table

BASE, TASK, SEEDS = "embedded-base-sums", "embedded_sums", 3
HOW = {"learning_rate": 5e-4, "num_train_epochs": 3, "batch_size": 16}
DRAWN = {"temperature": 0.0, "max_tokens": 128}


def accuracy(model: str, out: Path) -> float:
    """The share of sums that a model gets right."""
    [figures] = evolvent.evaluate(model, tasks=[TASK], out=out, progress=False).figures
    return float(figures.figures[0].value or 0)


def trained_in_full(teacher: Path, problems: Path, out: Path) -> list[float]:
    """The accuracy of students that were trained on all answers of a teacher, one a seed."""
    evolvent.respond(problems, teacher=f"hf:{teacher}", out=out, **DRAWN, progress=False)
    found = []
    for seed in range(SEEDS):
        student = out / f"student-{seed}"
        evolvent.train(out / "responses.parquet", base_model=BASE, out=student, set=HOW, seed=seed, progress=False)
        found.append(accuracy(f"hf:{student}", out / f"evaluated-{seed}"))
    return found


def by_rank(teachers: list[Path], problems: Path, rows: int, out: Path) -> BaseRanking:
    """What `rank teachers --trial` says, with a sample that leaves so many rows to train on."""
    ranked = evolvent.rank_teachers(
        problems,
        teacher=[f"hf:{teacher}" for teacher in teachers],
        base_model=[BASE],
        reward_model="embedded-reward",
        shift_rewards=True,
        sample=rows * 5 // 4,  # one in five is held out
        trial=True,
        trial_tasks=[TASK],
        trial_rows=rows,
        trial_seeds=SEEDS,
        trial_set=HOW,
        out=out,
        **DRAWN,
    )
    return ranked.rankings[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("made", type=Path, help="the folder that tools.embedded.trial made")
    parser.add_argument("--out", type=Path, default=Path("build/trial/study"))
    parser.add_argument("--trial-rows", type=int, nargs="+", default=[50, 200])
    given = parser.parse_args()
    teachers, problems = sorted(given.made.glob("teacher-*")), given.made / "problems.jsonl"
    truth: dict[str, list[float]] = {}
    for teacher in teachers:
        began = time.monotonic()
        own = accuracy(f"hf:{teacher}", given.out / "teachers" / teacher.name)
        truth[teacher.name] = trained_in_full(teacher, problems, given.out / "full" / teacher.name)
        took = time.monotonic() - began
        students = ", ".join(f"{one:.2f}" for one in truth[teacher.name])
        print(f"{teacher.name}: it gets {own:.2f} right, its students {students}; {took:.0f} s", flush=True)
    names = list(truth)
    columns: dict[str, list[float]] = {}
    for rows in given.trial_rows:
        began = time.monotonic()
        ranking = by_rank(teachers, problems, rows, given.out / f"rank-{rows}")
        took = time.monotonic() - began
        print(f"\nrank teachers, {rows} rows a student, {took:.0f} s\n" + "\n".join(ranking.verdict))
        for order in ranking.orders:
            values = {Path(name.removeprefix("hf:")).name: value for name, value in order.goodness.items()}
            if set(values) == set(names):
                columns[f"{order.figure}, {rows} rows"] = [values[name] for name in names]
            else:
                print(f"{order.figure}, {rows} rows: not of all teachers: {dict(order.without)}")
    measured = {"performance": [float(np.mean(truth[name])) for name in names], **columns}
    file = given.out / "measured.json"
    file.write_text(json.dumps({"source": str(file), "candidates": names, "base_models": {BASE: measured}}, indent=1))
    print_tables([validation_table(evolvent.rank_validate(file))])


if __name__ == "__main__":
    main()
