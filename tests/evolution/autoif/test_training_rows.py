"""SFT rows of the answers that pass, and DPO pairs: who is paired with whom, whatever else is in the file."""

import json
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evolvent.datasets import load
from evolvent.evolution.autoif.rules import HALF, PROFILES, Rules
from evolvent.evolution.autoif.training_rows import dpo_rows, sft_rows
from evolvent.records import Record
from tests.evolution.autoif.published import published

PAPER, CODE = PROFILES["autoif-paper"], PROFILES["autoif-code"]


def response(asked: str, number: int, output: str, accuracy: float | None, **other: Any) -> Record:
    meta = {
        "instruction": f"instruction of {asked}",
        "query": f"query of {asked}",
        "accuracy": accuracy,
        "quality": 9.0,
    }
    return Record(
        f"{asked}/abcdef01/{number}",
        asked.split("/")[0],
        0,
        f"Query of {asked}. Instruction.",
        output=output,
        round=1,
        method="autoif",
        teacher="teacher",
        meta=json.dumps({"autoif": meta}),
        **other,
    )


def group(asked: str, answers: list[tuple[str, float | None]]) -> list[Record]:
    return [response(asked, number, output, accuracy) for number, (output, accuracy) in enumerate(answers)]


def pairs(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]


def test_sft_rows_are_the_answers_that_pass_with_our_columns_in_meta() -> None:
    rows = list(
        sft_rows(
            [
                response("s/r1/1", 0, "Yes.", 1.0),
                response("s/r1/1", 1, "No.", 0.0, status="eliminated", reason="fails its functions"),
                response("s/r1/1", 2, "", None, status="failed", reason="server said no"),
            ]
        )
    )
    assert len(rows) == 1
    assert rows[0].keys() == {"messages", "meta"}
    assert rows[0]["messages"] == [
        {"role": "user", "content": "Query of s/r1/1. Instruction."},
        {"role": "assistant", "content": "Yes."},
    ]
    meta = rows[0]["meta"]
    assert (meta["id"], meta["seed_id"], meta["method"], meta["teacher"]) == (
        "s/r1/1/abcdef01/0",
        "s",
        "autoif",
        "teacher",
    )
    assert meta["autoif"] == {
        "instruction": "instruction of s/r1/1",
        "query": "query of s/r1/1",
        "accuracy": 1.0,
        "quality": 9.0,
    }


def test_paper_1s_instruction_and_input_are_one_question(tmp_path: Path) -> None:
    record = response("s/r1/1", 0, "Yes.", 1.0)
    record.instruction, record.input = "Use no commas.", "What is rain?"
    (row,) = sft_rows([record])
    assert row["messages"][0]["content"] == "Use no commas.\nWhat is rain?"
    path = tmp_path / "sft.jsonl"
    path.write_text(json.dumps(row))
    (read,) = load(path)
    assert (read.question, read.output) == (record.question, "Yes.")


def test_a_users_own_columns_stay_columns() -> None:
    record = response("s/r1/1", 0, "Yes.", 1.0)
    record.meta = json.dumps({**json.loads(record.meta or ""), "source": "mine"})
    (row,) = sft_rows([record])
    assert (row["source"], row["meta"]["autoif"]["accuracy"]) == ("mine", 1.0)


def test_a_dpo_row_is_trls_with_an_explicit_prompt_in_turns(tmp_path: Path) -> None:
    rows = list(dpo_rows(group("s/r1/1", [("Yes.", 0.8), ("No.", 0.0)]), PAPER, seed=0))
    assert rows == [
        {
            "prompt": [{"role": "user", "content": "Query of s/r1/1. Instruction."}],
            "chosen": [{"role": "assistant", "content": "Yes."}],
            "rejected": [{"role": "assistant", "content": "No."}],
            "meta": {
                "seed_id": "s",
                "chosen_id": "s/r1/1/abcdef01/0",
                "rejected_id": "s/r1/1/abcdef01/1",
                "autoif": {
                    "instruction": "instruction of s/r1/1",
                    "query": "query of s/r1/1",
                    "chosen_accuracy": 0.8,
                    "rejected_accuracy": 0.0,
                },
            },
        }
    ]
    path = tmp_path / "dpo.jsonl"
    path.write_text(json.dumps(rows[0]))
    data = load(path)
    assert data.format == "preference"
    assert [(r.instruction, r.output) for r in data] == [("Query of s/r1/1. Instruction.", "Yes.")]


def test_who_follows_and_who_does_not() -> None:
    answers = group("s/r1/1", [("half", 0.5), ("none", None), ("bit", 0.1), ("zero", 0.0), ("more", 0.6)])
    assert pairs(list(dpo_rows(answers, PAPER, 0))) == [("more", "zero")]
    assert pairs(list(dpo_rows(answers, CODE, 0))) == [("half", "zero"), ("more", "zero")]


def test_an_answer_without_a_verdict_is_neither() -> None:
    assert list(dpo_rows(group("s/r1/1", [("good", 1.0), ("unknown", None)]), CODE, 0)) == []


def test_eliminated_answers_are_paired_by_their_accuracy() -> None:
    low = response("s/r1/1", 0, "low", 1.0, status="eliminated", reason="low quality")
    bad = response("s/r1/1", 1, "bad", 0.0, status="eliminated", reason="fails its functions")
    lost = response("s/r1/1", 2, "", None, status="failed", reason="server said no")
    assert pairs(list(dpo_rows([low, bad, lost], PAPER, 0))) == [("low", "bad")]


answers = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([None, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0])), max_size=10
)
files = st.dictionaries(st.integers(0, 30).map(lambda n: f"s{n % 3}/r1/{n}"), answers, max_size=6)


@given(files, st.integers(0, 2**31), st.integers(1, 3), st.sampled_from([PAPER, CODE]))
def test_pairs_are_drawn_as_defined(
    file: dict[str, list[tuple[str, float | None]]], seed: int, most: int, profile: Rules
) -> None:
    rules = Rules(chosen_share=profile.chosen_share, pair_samples=most)
    # Equal answers have equal accuracies: the functions are run once for both.
    file = {asked: [(text, dict(answers)[text]) for text, _ in answers] for asked, answers in file.items()}
    records = [record for asked, answers in file.items() for record in group(asked, answers)]
    rows = list(dpo_rows(records, rules, seed))
    assert rows == list(dpo_rows(records, rules, seed))
    found = defaultdict(list)
    for row, pair in zip(rows, pairs(rows), strict=True):
        found[row["chosen"][0]["content"], row["meta"]["chosen_id"].rsplit("/", 2)[0]].append(pair)
    for asked, answers in file.items():
        # The same pairs come of the group alone: no other row has a say in them.
        alone = pairs(list(dpo_rows(group(asked, answers), rules, seed)))
        assert alone == [pair for (_, of), some in found.items() if of == asked for pair in some]
        follow = {text for text, share in answers if share is not None and rules.chosen_share.passes(share)}
        miss = {text for text, share in answers if share == 0}
        assert len(alone) == len(set(alone)) == min(most, len(follow)) * min(most, len(miss))
        chosen, rejected = {one for one, _ in alone}, {other for _, other in alone}
        assert chosen <= follow and rejected <= miss
        assert set(alone) == set(product(chosen, rejected))


def test_every_answer_is_drawn_by_some_seed() -> None:
    records = group("s/r1/1", [("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 0.0), ("e", 0.0), ("f", 0.0)])
    found = [pairs(list(dpo_rows(records, PAPER, seed))) for seed in range(60)]
    assert {pair for some in found for pair in some} == set(product("abc", "def"))
    # The two sides are drawn apart: all nine of their combinations occur.
    assert len({(frozenset(c for c, _ in some), frozenset(r for _, r in some)) for some in found}) == 9


def test_the_published_scores_give_6_pairs_of_3_queries_for_every_seed() -> None:
    rows = published("dpo_query_eval_score_results.jsonl")
    assert len(rows) == 20
    records = []
    for number, row in enumerate(rows):
        some = group(f"s{number}/r1/1", [(text, accuracy) for text, accuracy in row["response"]])
        records += some
    both = [row for row in rows if {0.0} < {accuracy for _, accuracy in row["response"]}]
    assert len(both) == 3
    assert CODE.chosen_share == HALF
    for seed in range(100):
        made = list(dpo_rows(records, CODE, seed))
        assert len(made) == 6
        assert len({row["meta"]["chosen_id"].rsplit("/", 2)[0] for row in made}) == 3
