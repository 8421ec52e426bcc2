"""The embedded models as they ship: what the package promises about them, on a few seeds."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tools.embedded.corpus import PROMPTS  # noqa: E402 - after the skips
from tools.embedded.evaluate import Evolver, content_words, parses, squeezed  # noqa: E402 - after the skips
from tools.embedded.train import SHIPPED  # noqa: E402 - after the skips

SAMPLES = Path(__file__).parents[2] / "src/evolvent/datasets/samples/demo_seeds.jsonl"


@pytest.fixture(scope="module")
def evolver() -> Evolver:
    return Evolver(SHIPPED / "instruct")


@pytest.mark.parametrize("name", ["base", "instruct"])
def test_each_is_small_and_whole(name: str) -> None:
    from safetensors import safe_open

    folder = SHIPPED / name
    assert all(file.stat().st_size <= 8_000_000 for file in folder.iterdir())
    with safe_open(folder / "model.safetensors", "pt") as weights:
        tensors = [weights.get_tensor(key) for key in weights.keys()]  # noqa: SIM118 - no mapping
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
    assert 2_000_000 <= sum(tensor.numel() for tensor in tensors) <= 4_000_000
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["max_position_embeddings"] >= 1024
    assert config["pad_token_id"] not in (config["eos_token_id"], config["bos_token_id"])


def test_it_evolves_seeds_and_keeps_what_they_are_about(evolver: Evolver) -> None:
    rows = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    seeds = [row["instruction"] for row in rows if not row["input"]][::5]
    for operator in ("constraints", "deepening", "concretizing", "reasoning"):
        prompts = [PROMPTS[operator].render(instruction=seed, input="") for seed in seeds]
        for seed, (reply, ended) in zip(seeds, evolver.ask(prompts, temperature=0), strict=True):
            assert parses(reply, ended)
            assert squeezed(reply) != squeezed(seed)
            words = content_words(seed)
            assert len(words & content_words(reply)) >= 0.8 * len(words)


def test_it_answers_a_word_problem(evolver: Evolver) -> None:
    [(reply, ended)] = evolver.ask(
        ["Emil collects 35 photos on Monday and 17 on Tuesday. How many photos are there now?"], temperature=0
    )
    assert ended
    assert reply.endswith("The answer is 52.")


def test_it_judges_equality(evolver: Evolver) -> None:
    same = PROMPTS["equality"].render(first="Explain how to bake bread.", second="Explain how to bake bread.")
    other = PROMPTS["equality"].render(
        first="Explain how to bake bread.",
        second="Explain how to bake bread. Use at most 40 words and write for children.",
    )
    replies = [reply for reply, _ in evolver.ask([same, other], temperature=0)]
    assert replies == ["Equal", "Not Equal"]
