"""The embedded reward model as it ships, and the pairs that it learnt from."""

import json
import random
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("transformers")

from evolvent.cli import app
from evolvent.models.opening import open_reward_model
from evolvent.models.protocols import Reward
from evolvent.records import Message
from evolvent.runs.record_files import read_records
from tools.embedded.evaluate import held_out_seeds
from tools.embedded.preferences import FAULTS, Preference, preferences


def turns(prompt: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def test_length_does_not_tell_the_better_answer() -> None:
    pairs = list(islice(preferences(random.Random(0)), 2000))
    assert {pair.fault for pair in pairs} == set(FAULTS)
    assert all(pair.better != pair.worse and pair.worse.strip() for pair in pairs)
    longer = sum(len(pair.worse) > len(pair.better) for pair in pairs)
    shorter = sum(len(pair.worse) < len(pair.better) for pair in pairs)
    assert 0.4 * len(pairs) < longer < 0.6 * len(pairs) and 0.4 * len(pairs) < shorter


def test_it_ranks_answers_of_its_world_over_spoilt_ones() -> None:
    rng = random.Random(1)
    model = open_reward_model("embedded-reward", device="cpu")
    seeds = held_out_seeds(30, rng)
    pairs: list[Preference] = []
    for fault in FAULTS:
        pairs += [next(preferences(rng, fault, lambda _, seed=seed: seed)) for seed in seeds]  # type: ignore[misc]
    found = model.rewards([turns(pair.prompt, text) for pair in pairs for text in (pair.better, pair.worse)])
    values = [reward.value for reward in found if isinstance(reward, Reward)]
    assert len(values) == 2 * len(pairs)
    right = [better > worse for better, worse in zip(values[::2], values[1::2], strict=True)]
    for name, of_it in (
        ("longer", [len(pair.worse) > len(pair.better) for pair in pairs]),
        ("shorter", [len(pair.worse) < len(pair.better) for pair in pairs]),
    ):
        share = sum(win for win, counts in zip(right, of_it, strict=True) if counts) / sum(of_it)
        assert share > 0.8, (name, share)


def test_the_command_scores_with_it(tmp_path: Path) -> None:
    answers = ["To bake bread, you need flour, water and yeast. Allow about three hours.", "I do not know.", ""]
    rows = [{"instruction": "What do I need to bake bread?", "output": answer} for answer in answers]
    data = tmp_path / "answers.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    typed = ["score", str(data), "--metrics", "reward", "--reward-model", "embedded-reward", "--out", str(tmp_path)]
    ended = CliRunner().invoke(app, typed)
    assert ended.exit_code == 0, ended.output
    good, bad, none = (row.scores for row in read_records(tmp_path / "scored.parquet"))
    assert float(good["reward"] or 0) > float(bad["reward"] or 0)
    assert good["reward_model"] == "embedded-reward" and int(good["reward_tokens"] or 0) > 5
    assert (none["reward"], none["reward_tokens"], none["score_reason"]) == (None, None, "reward: empty output")
