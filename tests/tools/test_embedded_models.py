"""The embedded models as they ship: what the package promises about them, on a few seeds."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from evolvent.evolution.auto_evol_instruct.method import SLOT, candidate_of, initial_method  # noqa: E402 - after the skips
from evolvent.evolution.auto_evol_instruct.parsing import final_instruction, methods_list  # noqa: E402 - after the skips
from evolvent.evolution.auto_evol_instruct.ways import ways  # noqa: E402 - after the skips
from evolvent.evolution.autoif.answers import quality_score  # noqa: E402 - after the skips
from evolvent.evolution.autoif.back_translation import back_translations  # noqa: E402 - after the skips
from evolvent.evolution.autoif.functions import Sample, parse_sample  # noqa: E402 - after the skips
from evolvent.evolution.autoif.self_instruct import new_instructions  # noqa: E402 - after the skips
from tools.embedded import autoif, methods  # noqa: E402 - after the skips
from tools.embedded.corpus import PROMPTS  # noqa: E402 - after the skips
from tools.embedded.evaluate import Evolver, content_words, parses, squeezed  # noqa: E402 - after the skips
from tools.embedded.train import SHIPPED  # noqa: E402 - after the skips

SAMPLES = Path(__file__).parents[2] / "src/evolvent/datasets/samples/demo_seeds.jsonl"


@pytest.fixture(scope="module")
def evolver() -> Evolver:
    return Evolver(SHIPPED / "instruct")


@pytest.mark.parametrize("name", ["base", "instruct", "reward"])
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


def test_it_evolves_by_the_initial_method(evolver: Evolver) -> None:
    rows = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    seeds, method = [row["instruction"] for row in rows if not row["input"]][1::5], initial_method()
    replies = evolver.ask([method.text.replace(SLOT, seed) for seed in seeds], temperature=0, longest=400)
    texts = [final_instruction(reply, method, seed) for (reply, _), seed in zip(replies, seeds, strict=True)]
    assert sum(text is not None for text in texts) >= len(seeds) - 1
    assert sum(text not in (None, seed) for text, seed in zip(texts, seeds, strict=True)) >= 0.7 * len(seeds)
    lists = [methods_list(reply, method) for reply, _ in replies]
    assert all(2 <= len(ways(text or "")) <= 6 for text in lists)


def test_it_improves_a_method(evolver: Evolver) -> None:
    prompt = methods.OPTIMISATION.render(feedback="Case 2: it adds nothing to stage 0.", method=initial_method().text)
    [(reply, _)] = evolver.ask([prompt], temperature=0, longest=400)
    method, problem = candidate_of(reply)
    assert problem is None and method is not None and method.text != initial_method().text


def test_it_speaks_autoif(evolver: Evolver) -> None:
    texts = autoif.SHIPPED[::4]
    replies = evolver.ask([autoif.FUNCTIONS.render(instruction=text) for text in texts], temperature=0, longest=300)
    samples = [parse_sample(reply) for reply, _ in replies]
    assert sum(isinstance(sample, Sample) and len(sample.cases) == 3 for sample in samples) >= len(texts) - 1
    seeds = "\n".join("- " + text for text in autoif.SHIPPED)
    function = "def evaluate(response):\n    return ',' not in response"
    asked = [
        autoif.SELF_INSTRUCT.render(seeds=seeds, count=8),
        autoif.BACK.render(functions=[function]),
        autoif.QUALITY.render(instruction="Do not use any commas.", query="How do I bake bread?", answer="Knead it."),
    ]
    (new, _), (back, _), (quality, _) = evolver.ask(asked, temperature=0)
    assert len(new_instructions(new)) >= 5
    assert back_translations(back, 1)
    assert quality_score(quality, "autoif-code") is not None
