"""An estimate as it is told."""

from dataclasses import replace

from evolvent.costs.estimates import Estimate, ModelEstimate
from evolvent.report.estimates import notes_of, prompts_of, tables_of

ONE = ModelEstimate(
    model="openai:m",
    calls=1_200,
    prompt_tokens=5_000,
    completion_tokens=600,
    prompt_tokens_at_most=9_000,
    completion_tokens_at_most=12_000,
    cost=0.0042,
    cost_at_most=1.5,
    seconds=30.0,
    prompts="a tokenizer",
    replies="assumed",
    exact=True,
)
ESTIMATE = Estimate("evolve", 400, 400, (ONE,), (("openai:m", ({"role": "user", "content": "Sing"},)),), None, 0)


def test_a_table_says_what_is_exact_and_what_is_about() -> None:
    (table,) = tables_of(ESTIMATE)
    assert table.title == "evolve: what it would take of openai:m"
    assert table.columns == ("", "calls", "tokens in", "tokens out", "cost")
    assert table.rows == [
        ("expected", "1,200", "5,000", "~600", "~0.0042"),
        ("at most", "", "9,000", "12,000", "1.50"),
    ]
    (table,) = tables_of(replace(ESTIMATE, models=(replace(ONE, exact=False, cost=None, cost_at_most=None),)))
    assert table.columns == ("", "calls", "tokens in", "tokens out")
    assert table.rows[0] == ("expected", "1,200", "~5,000", "~600")


def test_several_models_are_added_up_and_the_slowest_gives_the_time() -> None:
    both = replace(ESTIMATE, models=(ONE, replace(ONE, model="embedded", cost=0.0, cost_at_most=0.0, seconds=7_260.0)))
    _, embedded, together = tables_of(both)
    assert [row[-1] for row in embedded.rows] == ["0", "0"]
    assert together.title == "evolve: what it would take of all models together"
    assert together.rows == [
        ("expected", "2,400", "10,000", "~1,200", "~0.0042"),
        ("at most", "", "18,000", "24,000", "1.50"),
    ]
    assert "time together: about 2.0 h; the models work side by side" in notes_of(both)
    unpriced = replace(both, models=(ONE, replace(ONE, cost=None, cost_at_most=None, seconds=None)))
    assert (unpriced.cost, unpriced.cost_at_most, unpriced.seconds) == (None, None, None)


def test_time() -> None:
    def told(**known: float | None) -> list[str]:
        lines = notes_of(replace(ESTIMATE, models=(replace(ONE, **known),)))  # type: ignore[arg-type]
        return [line.strip() for line in lines if "time:" in line]

    assert told() == ["time: about 30 s, the least that the caps allow"]
    per_second = "for each second that a call takes, at this --concurrency"
    assert told(seconds=None, call_lengths=150.0) == [f"time: about 2.5 min {per_second}"]
    assert told(call_lengths=4.0) == [f"time: about 30 s, the least that the caps allow; about 4.0 s {per_second}"]
    unknown = told(seconds=None)
    assert unknown[0] == "time: not known"
    assert unknown[1].startswith("no time: how fast a model answers is not known. --concurrency N")


def test_notes_say_what_the_figures_rest_on() -> None:
    assert notes_of(ESTIMATE)[:5] == [
        "evolve, rehearsed on all 400 records; nothing was called",
        "~: estimated; at most: if every reply is as long as max_tokens allows",
        "m:",
        "  tokens in: a tokenizer",
        "  tokens out: assumed",
    ]
    notes = "\n".join(notes_of(replace(ESTIMATE, rehearsed=20, failing=(3, "refused"), stored=7)))
    assert "rehearsed on 20 of 400 records" in notes
    assert "3 rehearsed rows would fail; the first: refused" in notes
    assert "the folder holds 7 calls of this stage" in notes
    assert "no cost" not in notes
    assert "no time" not in notes


def test_prompts_are_shown_turn_by_turn() -> None:
    assert prompts_of(ESTIMATE) == ["prompt 1, to openai:m\n[user]\nSing"]


def test_what_the_folder_holds_is_said_first() -> None:
    first, second, *_ = notes_of(replace(ESTIMATE, differences=("rounds: 3 in the folder, 2 now", "seed: 0, 1")))
    assert first == (
        "the folder holds evolve with other settings: rounds: 3 in the folder, 2 now; seed: 0, 1. "
        "Without --fresh it would be refused"
    )
    assert second.startswith("evolve, rehearsed on")
    first, *_ = notes_of(replace(ESTIMATE, finished=True))
    assert first == "evolve is finished in the folder with these settings: nothing would be called"
