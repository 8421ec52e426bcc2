import asyncio
from collections.abc import Coroutine
from math import exp
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from evolvent.errors import CallError, InputError, ModelUnavailableError
from evolvent.models.gguf import chat, engine
from evolvent.models.opening import open_chat
from evolvent.models.protocols import ChatModel, Reply, Sampling
from tests.models.tiny_gguf import TEMPLATE, write_gguf

pytest.importorskip("xllamacpp", reason="needs the gguf extra")
pytest.importorskip("gguf", reason="needs the gguf extra")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def model(file: Path) -> ChatModel:
    return open_chat(f"gguf:{file}")


def ask(model: ChatModel, text: str, **how: Any) -> Coroutine[None, None, Reply]:
    return model.chat([{"role": "user", "content": text}], Sampling(**{"max_tokens": 12, "seed": 1, **how}))


QUESTIONS = ["a", "Name a fruit.", "Why is the sky blue? " * 3, "One, two, three"] * 3


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_many_calls_at_once_get_the_texts_that_each_gets_alone(model: ChatModel, temperature: float) -> None:
    async def both() -> tuple[list[Reply], list[Reply]]:
        def calls() -> list[Coroutine[None, None, Reply]]:
            return [ask(model, q, temperature=temperature, seed=i, top_p=0.9) for i, q in enumerate(QUESTIONS)]

        return await asyncio.gather(*calls()), [await call for call in calls()]

    together, alone = asyncio.run(both())
    assert together == alone
    assert {reply.finish_reason for reply in together} <= {"stop", "length"}
    assert len({reply.text for reply in together}) == (12 if temperature else 4)


def test_a_reply_says_its_tokens_and_why_it_ended(model: ChatModel) -> None:
    reply = asyncio.run(ask(model, "abc", temperature=0, max_tokens=5))
    assert (reply.usage.completion_tokens, reply.finish_reason, reply.cut_max_tokens) == (5, "length", None)
    assert 0 < len(reply.text) <= 5  # a letter a token
    assert reply.usage.prompt_tokens == 1 + len(" user: abc\nassistant:")  # and a BOS


def test_a_stop_text_ends_a_reply_and_is_not_in_it(model: ChatModel) -> None:
    whole = asyncio.run(ask(model, "abc", temperature=0, max_tokens=40)).text
    text, _, _ = whole.partition(whole[5:7])
    reply = asyncio.run(ask(model, "abc", temperature=0, max_tokens=40, stop=(whole[5:7], "never")))
    assert (reply.text, reply.finish_reason) == (text, "stop")


def test_log_probabilities_are_the_models_own_at_any_temperature(model: ChatModel) -> None:
    greedy = asyncio.run(ask(model, "abc", temperature=0, max_tokens=1, top_logprobs=20)).logprobs
    hot = asyncio.run(ask(model, "abc", temperature=2.0, top_p=0.1, max_tokens=1, top_logprobs=20)).logprobs
    assert greedy and hot and greedy[0].top == hot[0].top
    assert len(greedy[0].top) == 20 and greedy[0].logprob == greedy[0].top[0][1]
    assert sum(exp(logprob) for _, logprob in greedy[0].top) < 1


def test_neither_the_token_that_ends_the_turn_nor_a_stop_text_is_a_position(model: ChatModel) -> None:
    async def replies(**how: Any) -> list[Reply]:
        return await asyncio.gather(*(ask(model, q, top_logprobs=2, max_tokens=150, **how) for q in QUESTIONS[:4]))

    drawn = [reply for seed in range(9) for reply in asyncio.run(replies(temperature=5.0, seed=seed))]
    ended = [reply for reply in drawn if reply.finish_reason == "stop"]
    assert 0 < len(ended) < len(drawn)
    for reply in ended:
        assert reply.logprobs is not None and all(each.token for each in reply.logprobs)
    whole = asyncio.run(ask(model, "abc", temperature=0, top_logprobs=2)).logprobs
    assert whole is not None
    stopped = asyncio.run(ask(model, "abc", temperature=0, top_logprobs=2, stop=(whole[5].token,)))
    place = [each.token for each in whole].index(whole[5].token)
    assert stopped.logprobs == whole[: place - 1]  # llama.cpp counts the space before a stop text as one of its tokens


def test_draws_follow_the_temperature_alone(model: ChatModel) -> None:
    # 200 draws of one token at temperature 1, without llama.cpp's own top_k 40 and min_p 0.05
    async def draws() -> list[Reply]:
        return await asyncio.gather(*[ask(model, "abc", temperature=5.0, max_tokens=1, seed=i) for i in range(200)])

    drawn = {reply.text for reply in asyncio.run(draws())}
    assert len(drawn) > 45


def test_a_reply_is_cut_to_what_the_context_leaves(model: ChatModel) -> None:
    reply = asyncio.run(ask(model, "x" * 200, temperature=0, max_tokens=500))
    left = 256 - reply.usage.prompt_tokens
    assert (reply.finish_reason, reply.cut_max_tokens) == ("length", left)
    assert left - 1 <= reply.usage.completion_tokens <= left


def test_a_reply_that_has_run_into_a_loop_ends_there(monkeypatch: pytest.MonkeyPatch, model: ChatModel) -> None:
    monkeypatch.setattr(chat, "has_looped", lambda text: len(text) >= 60)
    reply = asyncio.run(ask(model, "abc", max_tokens=200))
    assert reply.finish_reason == "loop"
    assert 60 <= reply.usage.completion_tokens <= 130


def test_a_prompt_that_fills_the_context_fails_its_call(model: ChatModel) -> None:
    with pytest.raises(CallError, match=r"no room for a reply: the prompt has \d+ tokens, the context 256"):
        asyncio.run(ask(model, "x" * 300))


def test_a_conversation_that_the_template_refuses_fails_its_call(model: ChatModel) -> None:
    with pytest.raises(CallError, match="no tools here"):
        asyncio.run(model.chat([{"role": "tool", "content": "?"}], Sampling()))


def test_a_cancelled_call_gives_its_slot_back(file: Path) -> None:
    model = open_chat(f"gguf:{file}?slots=1")

    async def cancel() -> Reply:
        call = asyncio.create_task(ask(model, "abc", max_tokens=200))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await asyncio.wait_for(ask(model, "abc", max_tokens=2), 10)

    assert asyncio.run(cancel()).usage.completion_tokens == 2


def test_threads_with_event_loops_of_their_own_share_one_load(file: Path, model: ChatModel) -> None:
    texts: list[str] = []

    def work() -> None:
        texts.append(asyncio.run(ask(open_chat(f"gguf:{file}"), "abc", temperature=0)).text)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 4 and len(set(texts)) == 1
    assert sum(key[0] == file.resolve() and key[4] is None for key in engine._held) == 1


def test_closing_lets_the_model_go(tmp_path: Path) -> None:
    model = open_chat(f"gguf:{write_gguf(tmp_path / 'other.gguf')}")
    held = len(engine._held)
    asyncio.run(model.close())
    assert len(engine._held) == held - 1


def test_the_identity_is_the_files_content_with_context_and_template(tmp_path: Path, file: Path) -> None:
    def identity(path: Path, query: str = "") -> str:
        return open_chat(f"gguf:{path}{query}").identity

    same = tmp_path / "same.gguf"
    same.write_bytes(file.read_bytes())
    (tmp_path / "template.jinja").write_text("{{ messages[-1].content }}")
    mine = identity(file)
    assert identity(same) == mine == identity(file, "?slots=2")
    others = {
        identity(file, "?context=128"),
        identity(file, f"?chat_template={tmp_path}/template.jinja"),
        identity(write_gguf(tmp_path / "other.gguf", seed=1)),
    }
    assert len(others | {mine}) == 4


def test_a_template_that_opens_the_reasoning_makes_a_cut_reply_no_answer(tmp_path: Path) -> None:
    thinking = write_gguf(tmp_path / "thinking.gguf", template=TEMPLATE + "<think>\n")
    reply = asyncio.run(ask(open_chat(f"gguf:{thinking}"), "abc", temperature=0))
    assert reply.text == "" and reply.reasoning


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9000])


def no_gguf(file: Path) -> None:
    file.write_text("<html>Not found</html>")


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "words"),
    [(cut, "damaged or cut off"), (no_gguf, "is no GGUF file"), (empty, "is no GGUF file"), (Path.unlink, "no file")],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, damage: Any, words: str) -> None:
    damage(write_gguf(tmp_path / "tiny.gguf"))
    with pytest.raises(ModelUnavailableError, match=words):
        open_chat(f"gguf:{tmp_path}/tiny.gguf")


def test_an_architecture_that_nobody_knows_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="architecture zzz"):
        open_chat(f"gguf:{write_gguf(tmp_path / 'tiny.gguf', architecture='zzz')}")


def test_a_base_model_cannot_chat(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no chat template") as caught:
        open_chat(f"gguf:{write_gguf(tmp_path / 'base.gguf', template=None)}")
    assert "chat_template=alpaca" in caught.value.fix


def test_a_folder_stands_for_the_one_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="holds no GGUF file"):
        open_chat(f"gguf:{tmp_path}")
    write_gguf(tmp_path / "a.gguf")
    assert open_chat(f"gguf:{tmp_path}").uri == f"gguf:{tmp_path}"
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ModelUnavailableError, match=r"holds 2 GGUF files: a\.gguf, b\.gguf"):
        open_chat(f"gguf:{tmp_path}")


def test_a_part_of_a_split_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "m-00001-of-00002.gguf").touch()
    with pytest.raises(ModelUnavailableError, match="one part of a split") as caught:
        open_chat(f"gguf:{tmp_path}/m-00001-of-00002.gguf")
    assert "llama-gguf-split --merge" in caught.value.fix


@pytest.mark.parametrize("query", ["context=0", "context=1k", "slots=-1"])
def test_numbers_that_cannot_be_are_told(file: Path, query: str) -> None:
    with pytest.raises(InputError, match="not a whole number above 0"):
        open_chat(f"gguf:{file}?{query}")
