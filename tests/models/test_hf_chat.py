"""The ``hf:`` chat model: every row of a batch is answered as if it were alone."""

import asyncio
import json
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.hf.batching import Request
from evolvent.models.hf.chat import HFChat
from evolvent.models.hf.sampling import Draw, draw, nucleus
from evolvent.models.output_breadth import output_breadth
from evolvent.models.protocols import Reply, Sampling
from evolvent.records import Message
from tests.models.tiny_llama import BOS, EOS, save_tiny_llama, save_word_without_embedding, words
from tests.processes import python, slowness, start

WORDS = {11: "\n", 93: "system", 94: "user", 95: "assistant", BOS: "<s>", EOS: "</s>"}
GREEDY = Sampling(temperature=0, max_tokens=12)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small are slower on two threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a context of 8,192 tokens and no end token: its replies take as long as they may."""
    return save_tiny_llama(tmp_path_factory.mktemp("long"), context=8192, eos=False)


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def ask(model: HFChat, *calls: tuple[list[Message], Sampling]) -> list[Reply]:
    async def together() -> list[Reply]:
        return await asyncio.gather(*(model.chat(*call) for call in calls))

    return asyncio.run(together())


def plain_logits(folder: Path, tokens: list[int], last: int = 1) -> torch.Tensor:
    """Logits after the last token, or the last few, of one sequence: no batch, no cache, no padding."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0]
    return logits[-1] if last == 1 else logits[-last:]


def prompt_tokens(*content: int) -> list[int]:
    """What the chat template of the tiny model makes of a user turn (94 and 95 are the roles' words)."""
    return [BOS, 90, 94, 91, *content, 92, 90, 95, 91]


def test_a_thousand_requests_get_the_same_text_in_two_batch_sizes(folder: Path) -> None:
    draw = random.Random(0)
    calls = [
        (
            user(words(*(draw.randrange(12, 90) for _ in range(draw.randrange(1, 12))))),
            Sampling(
                temperature=draw.choice([0.0, 0.5, 0.7, 1.0, 2.0]),
                top_p=draw.choice([1.0, 0.95, 0.5]),
                seed=draw.choice([None, draw.randrange(2**31)]),
                max_tokens=draw.randrange(1, 24),
            ),
        )
        for _ in range(1000)
    ]
    large = ask(HFChat.load(str(folder), uri="hf:tiny", batch_rows=128), *calls)
    small = ask(HFChat.load(str(folder), uri="hf:tiny", batch_rows=31), *calls)
    assert large == small
    assert len({reply.text for reply in large}) > 800  # the draws do differ
    assert {reply.finish_reason for reply in large} == {"stop", "length"}


def test_greedy_text_usage_and_finish_reason_equal_a_plain_loop(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    replies = ask(model, *((user(words(*range(20, 20 + n))), GREEDY) for n in (1, 5, 9)))
    for n, reply in zip((1, 5, 9), replies, strict=True):
        tokens = prompt_tokens(*range(20, 20 + n))
        prompt_length = len(tokens)
        while len(tokens) < prompt_length + GREEDY.max_tokens and tokens[-1] != EOS:
            tokens.append(int(plain_logits(folder, tokens).argmax()))
        said = tokens[prompt_length:]
        assert reply.usage.prompt_tokens == prompt_length
        assert reply.usage.completion_tokens == len(said)
        assert reply.finish_reason == ("stop" if said[-1] == EOS else "length")
        assert reply.cut_max_tokens is None
        assert reply.text == "".join(WORDS.get(token, f"w{token}") for token in said if token not in (0, BOS, EOS))


def test_the_seed_decides_the_draw_and_none_means_one_from_the_prompt(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    drawn = [Sampling(temperature=1, max_tokens=12, seed=seed) for seed in (1, 1, 2, None, None)]
    texts = [reply.text for reply in ask(model, *((user("w20"), sampling) for sampling in drawn))]
    assert texts[0] == texts[1] != texts[2]
    assert texts[3] == texts[4]
    other = ask(model, (user("w21"), drawn[3]))[0].text
    assert other != texts[3]


def test_draws_follow_the_softmax_at_their_temperature() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    draws = 4000
    requests = [Request([1], Sampling(temperature=2.0, seed=seed), 1) for seed in range(draws)]
    chosen = draw(logits.repeat(draws, 1), [Draw(request, torch.device("cpu")) for request in requests])
    for token, probability in enumerate((logits / 2).softmax(-1).tolist()):
        deviation = (probability * (1 - probability) / draws) ** 0.5
        assert abs(Counter(chosen)[token] / draws - probability) < 4 * deviation


def test_nucleus_keeps_the_smallest_set_that_reaches_top_p() -> None:
    logits = torch.tensor([0.1, 0.5, 0.4]).log().repeat(3, 1)
    order, kept = nucleus(logits, torch.tensor([[0.3], [0.6], [0.95]]))
    assert order.tolist() == [[1, 2, 0]] * 3
    assert kept.tolist() == [[True, False, False], [True, True, False], [True] * 3]


@pytest.mark.parametrize("spread", [8.0, 2.0, 0.1], ids=["few tokens hold the nucleus", "some", "most"])
def test_a_nucleus_of_many_tokens(spread: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2000) * spread
    top_p = [0.5, 0.95]
    order, belongs = nucleus(logits, torch.tensor(top_p).unsqueeze(1))
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, belongs)
    for row, share, mask in zip(logits, top_p, kept, strict=True):
        probabilities = sorted(row.double().softmax(-1).tolist(), reverse=True)
        count = next(n for n in range(2000) if sum(probabilities[:n]) >= share - 1e-9)
        assert abs(int(mask.sum()) - count) <= 1  # rounding may move the bound by a token
        assert row[mask].min() > row[~mask].max()


def test_what_a_row_draws_does_not_depend_on_how_the_others_are_drawn() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 500)
    ways = [(0.0, 1.0), (1.0, 1.0), (1.0, 0.5), (0.7, 0.99), (2.0, 0.9), (0.5, 1.0)]
    requests = [Request([1], Sampling(t, p, seed=seed), 9) for seed, (t, p) in enumerate(ways)]

    def draws(chosen: list[int]) -> list[list[int]]:
        states = [Draw(requests[row], torch.device("cpu")) for row in chosen]
        return [draw(logits[chosen], states) for _ in range(5)]  # generators go on

    together = draws(list(range(6)))
    for row in range(6):
        assert [step[row] for step in together] == [step[0] for step in draws([row])]


def test_logprobs_are_the_models_own_distribution(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    sampling = Sampling(temperature=1.5, top_p=0.9, max_tokens=6, seed=3, top_logprobs=3)
    reply, without = ask(model, (user("w20 w21"), sampling), (user("w30"), GREEDY))
    assert without.logprobs is None
    assert reply.logprobs is not None
    assert len(reply.logprobs) == reply.usage.completion_tokens
    tokens = prompt_tokens(20, 21)
    for entry in reply.logprobs:
        expected = plain_logits(folder, tokens).log_softmax(-1)
        token = next(token for token in range(97) if WORDS.get(token, f"w{token}") == entry.token)
        assert entry.logprob == pytest.approx(float(expected[token]), abs=1e-5)
        assert [value for _, value in entry.top] == pytest.approx(expected.topk(3).values.tolist(), abs=1e-5)
        tokens.append(token)


def test_breadth_is_that_of_a_plain_softmax_and_the_token_that_ends_the_turn_is_no_position(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    found = ask(model, *((user(f"w{n}"), Sampling(0.0, max_tokens=60, top_logprobs=97)) for n in range(20, 50)))
    found += ask(model, *((user(f"w{n}"), Sampling(2.0, 0.9, 60, seed=n, top_logprobs=97)) for n in range(20, 50)))
    assert {reply.finish_reason for reply in found} == {"stop", "length"}
    names = {text: token for token, text in WORDS.items()}
    for n, reply in zip([*range(20, 50)] * 2, found, strict=True):
        assert reply.logprobs is not None
        ended = reply.finish_reason == "stop"
        assert len(reply.logprobs) == reply.usage.completion_tokens - ended
        said = [names.get(each.token) or int(each.token.removeprefix("w")) for each in reply.logprobs]
        probabilities = plain_logits(folder, [*prompt_tokens(n), *said], len(said) + 1)[:-1].softmax(-1)
        entropies = torch.special.entr(probabilities).sum(-1)
        expected = {
            "top1_first5": probabilities.max(-1).values[:5].mean().item(),
            "top1": probabilities.max(-1).values.mean().item(),
            "entropy_first5": entropies[:5].mean().item(),
            "entropy": entropies.mean().item(),
            "output_positions": len(said),
        }
        assert output_breadth(reply.logprobs) == pytest.approx(expected, abs=1e-4)


def test_a_stop_text_is_no_position(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    sampling = Sampling(temperature=2.0, max_tokens=12, seed=1, top_logprobs=1)
    whole = ask(model, (user("w20 w21"), sampling))[0].logprobs
    assert whole is not None and len({each.token for each in whole[:5]}) == 5
    stop = whole[3].token + whole[4].token
    [reply] = ask(model, (user("w20 w21"), replace(sampling, stop=(stop,))))
    assert (reply.text, reply.logprobs) == ("".join(each.token for each in whole[:3]), whole[:3])
    assert reply.usage.completion_tokens == 5


def test_max_tokens_is_cut_to_the_context_and_the_cut_is_told(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    content = words(*[20] * 115)  # 115 + 8 tokens of template leave 5 of 128
    reply = ask(model, (user(content), Sampling(temperature=0, max_tokens=50)))[0]
    assert reply.cut_max_tokens == 5
    assert reply.usage.prompt_tokens == 123
    assert reply.usage.completion_tokens <= 5


def test_a_prompt_that_fills_the_context_and_one_the_template_refuses_fail_alone(folder: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")

    async def three() -> list[Reply | BaseException]:
        calls = (user(words(*[20] * 120)), [Message(role="tool", content="w20")], user("w20"))
        return await asyncio.gather(*(model.chat(messages, GREEDY) for messages in calls), return_exceptions=True)

    full, refused, answered = asyncio.run(three())
    assert isinstance(full, CallError) and "128 tokens" in str(full) and "context of 128" in str(full)
    assert isinstance(refused, CallError) and "no tools here" in str(refused)
    assert isinstance(answered, Reply)


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), IndexError("out of range")])
def test_a_request_on_which_the_model_fails_does_not_fail_its_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    expected = ask(model, *((user(f"w{n}"), GREEDY) for n in range(20, 30)))
    forward = model._weights.model.forward

    def failing(input_ids: torch.Tensor, **settings: object) -> object:
        if (input_ids == 25).any():
            raise failure
        return forward(input_ids=input_ids, **settings)

    monkeypatch.setattr(model._weights.model, "forward", failing)

    async def ten() -> list[Reply | BaseException]:
        return await asyncio.gather(*(model.chat(user(f"w{n}"), GREEDY) for n in range(20, 30)), return_exceptions=True)

    replies = asyncio.run(ten())
    assert isinstance(replies[5], CallError)
    assert str(replies[5]) == f"model hf:tiny failed: {type(failure).__name__}: {failure}"
    assert replies[:5] + replies[6:] == expected[:5] + expected[6:]


def test_the_models_own_sampling_defaults_are_not_used(folder: Path, tmp_path: Path) -> None:
    expected = ask(HFChat.load(str(folder), uri="hf:tiny"), (user("w20"), GREEDY))[0]
    save_tiny_llama(tmp_path)
    GenerationConfig(
        repetition_penalty=5.0, suppress_tokens=[30], min_new_tokens=9, do_sample=True, top_k=2, eos_token_id=EOS
    ).save_pretrained(tmp_path)
    assert ask(HFChat.load(str(tmp_path), uri="hf:tiny"), (user("w20"), GREEDY))[0] == expected


def test_any_of_several_end_tokens_ends_a_reply(folder: Path, tmp_path: Path) -> None:
    model = HFChat.load(str(folder), uri="hf:tiny")
    sampling = Sampling(temperature=0, max_tokens=12, top_logprobs=1)
    said = ask(model, (user("w20"), sampling))[0].logprobs
    assert said is not None
    third = int(said[2].token.removeprefix("w"))
    save_tiny_llama(tmp_path)
    GenerationConfig(eos_token_id=[EOS, third]).save_pretrained(tmp_path)
    reply = ask(HFChat.load(str(tmp_path), uri="hf:tiny"), (user("w20"), sampling))[0]
    assert reply.finish_reason == "stop"
    assert reply.usage.completion_tokens <= 3


def test_a_cancelled_batch_ends_at_its_next_step_and_the_loop_stays_free(long_folder: Path) -> None:
    model = HFChat.load(str(long_folder), uri="hf:long")

    async def run() -> tuple[float, float, Reply]:
        tasks = [asyncio.create_task(model.chat(user("w20"), Sampling(max_tokens=8000, seed=n))) for n in range(4)]
        longest_pause = 0.0
        for _ in range(50):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest_pause = max(longest_pause, time.monotonic() - before)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        before = time.monotonic()
        reply = await model.chat(user("w21"), Sampling(max_tokens=2, seed=0))
        return longest_pause, time.monotonic() - before, reply

    pause, wait, reply = asyncio.run(run())
    assert pause < 1 * slowness()
    assert wait < 2 * slowness()
    assert reply.usage.completion_tokens <= 2


def test_closing_cancels_what_waits_and_the_model_can_be_asked_again(long_folder: Path) -> None:
    model = HFChat.load(str(long_folder), uri="hf:long", batch_rows=1)

    async def run() -> tuple[bool, int]:
        running = asyncio.create_task(model.chat(user("w20"), Sampling(max_tokens=8000, seed=1)))
        waiting = asyncio.create_task(model.chat(user("w20"), Sampling(max_tokens=8000, seed=2)))
        await asyncio.sleep(0.2)
        running.cancel()
        await model.close()
        await asyncio.sleep(0)
        return waiting.cancelled(), (await model.chat(user("w21"), Sampling(max_tokens=2))).usage.completion_tokens

    cancelled, tokens = asyncio.run(run())
    assert cancelled
    assert tokens <= 2


def test_closing_ends_the_thread_though_its_batch_has_long_to_go(long_folder: Path) -> None:
    model = HFChat.load(str(long_folder), uri="hf:closed", batch_rows=1)

    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "evolvent hf:closed"]

    async def run() -> tuple[bool, list[str], int, list[str]]:
        running = asyncio.create_task(model.chat(user("w20"), Sampling(max_tokens=8000, seed=1)))
        await asyncio.sleep(0.2)
        await model.close()
        await asyncio.wait([running])
        closed = threads()
        reply = await model.chat(user("w21"), Sampling(max_tokens=2))
        return running.cancelled(), closed, reply.usage.completion_tokens, threads()

    cancelled, closed, tokens, asked_again = asyncio.run(run())
    assert cancelled
    assert closed == []
    assert tokens <= 2
    assert asked_again == ["evolvent hf:closed"]
    asyncio.run(model.close())


INTERRUPTED = """
import asyncio, atexit, sys
atexit.register(lambda: print("ended", flush=True))  # runs after all that is registered later
from evolvent.models.hf.chat import HFChat
from evolvent.models.protocols import Sampling

async def main():
    model = HFChat.load(sys.argv[1], uri="hf:long")
    calls = [model.chat([{"role": "user", "content": "w20"}], Sampling(max_tokens=8000, seed=n)) for n in range(8)]
    answers = asyncio.gather(*calls)
    await asyncio.sleep(0.3)
    print("begun", flush=True)
    await answers

asyncio.run(main())
"""


def test_ctrl_c_ends_the_work_within_two_seconds_and_the_process_without_a_crash(long_folder: Path) -> None:
    with start(python(INTERRUPTED, long_folder)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "ended\n"
        seconds = time.monotonic() - before  # Python's own teardown of torch comes after this
        _, errors = process.communicate()
    assert errors.strip().endswith("KeyboardInterrupt")
    assert process.returncode in (-signal.SIGINT, 1)  # as Python ends after an interrupt; a crash has another
    assert seconds < 2 * slowness()


def test_a_model_without_a_chat_template_says_how_to_name_one(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path / "model", template=None)
    with pytest.raises(InputError, match=r"chat_template=alpaca"):
        HFChat.load(str(tmp_path / "model"), uri="hf:tiny")
    template = tmp_path / "mine.jinja"
    template.write_text("{{ messages[0].content }} w92 ", encoding="utf-8")
    model = HFChat.load(str(tmp_path / "model"), uri="hf:tiny", chat_template=str(template))
    assert ask(model, (user("w20 w21"), GREEDY))[0].usage.prompt_tokens == 3
    HFChat.load(str(tmp_path / "model"), uri="hf:tiny", chat_template="chatml")


@pytest.mark.parametrize(
    "source", ["{% for x in %}", "{{ nobody.knows }}", "{{ 1 / 0 }}", "{{ raise_exception('none of it') }}"]
)
def test_a_broken_template_is_found_when_the_model_is_loaded(folder: Path, tmp_path: Path, source: str) -> None:
    template = tmp_path / "broken.jinja"
    template.write_text(source, encoding="utf-8")
    with pytest.raises(InputError, match=r"hf:tiny: its chat template cannot write a single turn of a user: ."):
        HFChat.load(str(folder), uri="hf:tiny", chat_template=str(template))


def test_an_end_token_that_is_no_number_is_told(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": "x"}', encoding="utf-8")
    with pytest.raises(ModelUnavailableError, match="gives 'x' as the token that ends a reply"):
        HFChat.load(str(tmp_path), uri="hf:tiny")


def test_a_token_without_an_embedding_fails_its_own_call(tmp_path: Path) -> None:
    model = HFChat.load(str(save_word_without_embedding(tmp_path)), uri="hf:tiny")
    with pytest.raises(CallError, match="'w97'"):
        ask(model, (user("w97"), GREEDY))
    assert ask(model, (user("w20"), GREEDY))[0].usage.completion_tokens


def test_no_space_is_taken_from_what_the_model_said(folder: Path, tmp_path: Path) -> None:
    sampling = Sampling(temperature=0, max_tokens=1, top_logprobs=1)
    said = ask(HFChat.load(str(folder), uri="hf:tiny"), (user("w20"), sampling))[0].text
    save_tiny_llama(tmp_path)
    tokenizer = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(tokenizer.replace(f'"{said}"', '" ."'), encoding="utf-8")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"clean_up_tokenization_spaces": True}))
    model = HFChat.load(str(tmp_path), uri="hf:tiny")
    assert model._weights.tokenizer.clean_up_tokenization_spaces
    reply = ask(model, (user("w20"), sampling))[0]
    assert reply.text == " ."
    assert reply.logprobs is not None and reply.logprobs[0].token == " ."
