"""Figures of "Smaller Language Models Are Better Instruction Evolvers" (arXiv 2412.11231) as a report draws them.

    python -m benchmarks.published_figures build/published

The numbers are those that the paper and its plotting scripts give: Tables 10 and 13, the counts behind Figure 2, and
those of Figures 6 and 7. Figures 4 and 5 were published as pictures alone. Beside the figures ``figures.md`` says what
each shows there, and how ours differs. SLM and LLM are the paper's names for data of the small and the large evolver.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scipy.stats import binomtest

from evolvent.evaluation.figures import Figure as Score
from evolvent.metrics.difficulty import LEVELS
from evolvent.report.page.drawing import write_figures
from evolvent.report.page.figures.figure import Figure
from evolvent.report.page.figures.over_rounds import Point, over_rounds
from evolvent.report.page.figures.rounds import by_round, scores_by_round
from evolvent.report.page.figures.win import bars

EVOLVERS = {"SLM": "Llama-3.1-8B", "LLM": "Llama-3.1-70B"}

# Table 10: Llama-3-8B trained on each of three rounds; a row a figure, with the items of its benchmark.
ITEMS = {
    ("ifeval", "prompt strict"): 541,
    ("ifeval", "instruction strict"): 834,
    ("ifeval", "prompt loose"): 541,
    ("ifeval", "instruction loose"): 834,
    ("gsm8k", "exact match"): 1319,
    ("math", "exact match"): 5000,
    ("humaneval", "pass@1"): 164,
    ("mbpp", "pass@1"): 500,
}
TABLE_10 = {
    "LLM": (
        (33.83, 46.28, 36.41, 49.28, 63.00, 7.62, 43.90, 36.20),
        (32.53, 43.76, 34.20, 46.16, 64.59, 10.04, 42.07, 36.60),
        (35.12, 47.36, 36.97, 49.28, 64.75, 11.82, 43.29, 37.20),
    ),
    "SLM": (
        (35.49, 47.00, 39.56, 50.72, 63.38, 11.44, 48.17, 37.60),
        (36.78, 48.20, 40.30, 50.84, 64.82, 11.48, 48.78, 39.40),
        (33.09, 44.72, 36.41, 48.32, 65.88, 14.12, 44.51, 40.80),
    ),
}
# Figure 2: how many instructions of each round are very easy, easy, medium, hard, very hard.
FIGURE_2 = {
    "Alpaca": {
        "SLM": ((922, 3856, 30885, 12879, 3441), (300, 774, 13308, 19032, 18569), (77, 125, 4865, 12190, 34726)),
        "LLM": ((1055, 12782, 32988, 4740, 418), (193, 4098, 29721, 14274, 3697), (66, 1294, 19458, 19658, 11507)),
    },
    "GSM8K": {
        "SLM": ((42, 2201, 5177, 47, 6), (10, 584, 6018, 778, 83), (11, 192, 4819, 1906, 545)),
        "LLM": ((21, 3933, 3517, 1, 0), (7, 2526, 4926, 14, 0), (0, 1475, 5949, 49, 0)),
    },
    "Code Alpaca": {
        "SLM": ((132, 2593, 14642, 2429, 226), (25, 385, 10429, 7312, 1871), (7, 61, 5165, 9098, 5691)),
        "LLM": ((239, 6652, 12384, 723, 24), (20, 2050, 14554, 3214, 184), (2, 582, 11703, 6753, 982)),
    },
}
# Table 13: mean difficulty scores of the seeds and of three rounds.
TABLE_13 = {
    "Alpaca": {"SLM": (27.63, 66.35, 77.62, 82.44), "LLM": (27.63, 52.89, 68.16, 75.73)},
    "GSM8K": {"SLM": (34.05, 48.85, 63.48, 72.12), "LLM": (34.05, 39.88, 47.14, 54.00)},
    "Code Alpaca": {"SLM": (26.01, 58.86, 73.37, 79.19), "LLM": (26.01, 46.75, 65.02, 72.85)},
}
# Figures 6 and 7: wins, ties and losses of 805 answers, by how much of the data IC-IFD selected.
FIGURE_6 = {
    "Llama-3-8B": {"5 %": (421, 57, 327), "10 %": (445, 50, 310), "15 %": (434, 76, 295)},
    "Llama-3.2-3B": {"5 %": (412, 55, 338), "10 %": (428, 58, 319), "15 %": (435, 58, 312)},
}
FIGURE_7 = {"5 %": (419, 54, 332), "10 %": (426, 40, 339), "15 %": (428, 51, 326)}

Counts = Mapping[str, tuple[int, int, int]]


def figures() -> Iterator[tuple[Figure, str]]:
    """Each figure, and what is to be said of the original."""
    for task in dict.fromkeys(task for task, _ in ITEMS):
        original = (
            "Figure 1 draws what Llama-3-8B scores after each of three rounds, a line an evolver and a panel a "
            "benchmark, without intervals. These are the values of Table 10, with Wilson intervals of its shares; the "
            "paper's plotting script has others for GSM8K, HumanEval and MBPP."
        )
        yield over_rounds(task, list(_points(task))), original
    for data, by_evolver in FIGURE_2.items():
        levels = {
            (who, f"round {number}"): dict(zip(LEVELS, counts, strict=True))
            for number in (1, 2, 3)
            for who, rounds in by_evolver.items()
            for counts in [rounds[number - 1]]
        }
        original = (
            f"Figure 2 compares how many instructions of {data} Qwen-2.5-72B gives each of the five levels, round by "
            "round and evolver beside evolver, as bars of counts. Here they are shares of one bar."
        )
        slug = _slug(f"difficulty-level-{data}")
        yield replace(by_round(levels), name=slug, title=f"{data}: difficulty level by round"), original
    for data, of in TABLE_13.items():
        rows = [
            {"run": who, "round": number, "score": mean, "low": mean, "high": mean}
            for who, means in of.items()
            for number, mean in enumerate(means)
        ]
        caption = "Mean difficulty scores; round 0 is the seeds. No intervals were published."
        figure = replace(scores_by_round(rows), name=_slug(f"difficulty-score-{data}"), caption=caption)
        original = "The paper gives these means as Table 13, and draws no figure of them."
        yield replace(figure, title=f"{data}: difficulty score by round"), original
    for base, counts in FIGURE_6.items():
        original = (
            "Figure 6 sets answers of students of the IC-IFD selection against those of the IFD selection of the same "
            "size, 805 prompts judged by GPT-4 in one order; ties count replies that nothing could be read of, too."
        )
        yield _bars(counts, f"win-ifd-{base}", f"{base}: IC-IFD against IFD"), original
    original = "Figure 7 does the same against a student of all of Alpaca."
    yield _bars(FIGURE_7, "win-full-Llama-3.2-3B", "Llama-3.2-3B: IC-IFD against all of the data"), original


def _points(task: str) -> Iterator[Point]:
    for who, rounds in TABLE_10.items():
        for number, values in enumerate(rounds, 1):
            for ((of, name), items), value in zip(ITEMS.items(), values, strict=True):
                if of == task:
                    interval = binomtest(round(value * items / 100), items).proportion_ci(method="wilson")
                    score = Score(name, value / 100, None, float(interval.low), float(interval.high), items)
                    yield Point(f"{who} ({EVOLVERS[who]})", number, score)


def _bars(counts: Counts, name: str, title: str) -> Figure:
    found = bars({share: dict(zip(("win", "tie", "lose"), of, strict=True)) for share, of in counts.items()})
    caption = "Wins, ties and losses of 805, by the share of the data that is selected. Judged in one order."
    return replace(found, name=_slug(name), title=title, caption=caption)


def _slug(name: str) -> str:
    return name.replace(" ", "-").lower()


def main(folder: Path) -> None:
    drawn = list(figures())
    write_figures([figure for figure, _ in drawn], folder)
    lines = ["# Figures of arXiv 2412.11231, drawn from its numbers", ""]
    for figure, original in drawn:
        lines += [f"## {figure.title}", "", f"![{figure.title}]({figure.name}.svg)", ""]
        lines += [f"{figure.caption} The original: {original}", ""]
    (folder / "figures.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"{len(drawn)} figures in {folder}, and figures.md, which says what each shows in the paper")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/published"))
