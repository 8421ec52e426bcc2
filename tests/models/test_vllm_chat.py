"""The ``vllm:`` back end over a stand-in for vLLM, whose signatures are those that vllm_api.json read from its source.

vLLM itself needs a GPU and another torch. The tokenizer, its template and the folder are real: the embedded model's.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from evolvent.errors import CallError, InputError, ModelUnavailableError, RunError
from evolvent.models.fingerprint import fingerprint
from evolvent.models.folders import EMBEDDED_FOLDER, Place
from evolvent.models.opening import open_chat, open_scorer
from evolvent.models.protocols import Reply, Sampling, TokenLogprob
from evolvent.models.vllm import ENVIRONMENT, VLLMChat
from tests.models.tiny_llama import save_tiny_llama

API = json.loads(Path(__file__).with_name("vllm_api.json").read_text())
CHAT = EMBEDDED_FOLDER / "instruct"
CONTEXT = 64
HELLO = [{"role": "user", "content": "Write a haiku."}]


class EngineDeadError(Exception):
    pass


class Settings(SimpleNamespace):
    """Settings with the fields of the class of the same name in vLLM."""

    fields: tuple[str, ...]

    def __init__(self, **given: Any) -> None:
        assert set(given) <= set(self.fields)
        super().__init__(**given)


class AsyncEngineArgs(Settings):
    fields = tuple(API["classes"]["EngineArgs"]["attributes"])


class SamplingParams(Settings):
    fields = tuple(API["classes"]["SamplingParams"]["attributes"])


class AsyncLLM:
    """Answers with the text that a test put there, and keeps what it was asked."""

    answer: Any = "An answer."
    finish_reason: str | None = "stop"
    stop_reason: int | str | None = None
    logprobs: Any = None
    start: Exception | None = None
    last: "AsyncLLM"

    def __init__(self, arguments: AsyncEngineArgs) -> None:
        self.arguments = arguments
        self.asked: list[tuple[Any, SamplingParams, str]] = []
        self.ended = 0
        self.shut = False
        self.model_config = SimpleNamespace(max_model_len=CONTEXT, dtype="torch.bfloat16")
        self.vllm_config = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=256))
        AsyncLLM.last = self

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs) -> "AsyncLLM":
        if cls.start:
            raise cls.start
        return cls(engine_args)

    def get_tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.arguments.model)

    async def generate(self, prompt: Any, sampling_params: SamplingParams, request_id: str) -> AsyncIterator[Any]:
        self.asked.append((prompt, sampling_params, request_id))
        try:
            if self.answer is None:
                await asyncio.Event().wait()
            if isinstance(self.answer, Exception):
                raise self.answer
            tokens = list(range(len(self.logprobs or "abc")))
            completion = SimpleNamespace(
                text=self.answer,
                token_ids=tokens,
                finish_reason=self.finish_reason,
                stop_reason=self.stop_reason,
                logprobs=self.logprobs,
            )
            yield SimpleNamespace(outputs=[completion])
        finally:
            self.ended += 1

    def shutdown(self) -> None:
        self.shut = True


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[AsyncLLM]]:
    """The stand-in in the place of vLLM's modules, and its settings as they were."""
    contents: dict[str, dict[str, Any]] = {
        "vllm": {},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"AsyncEngineArgs": AsyncEngineArgs},
        "vllm.inputs": {"tokens_input": lambda prompt_token_ids: {"prompt_token_ids": prompt_token_ids}},
        "vllm.sampling_params": {
            "SamplingParams": SamplingParams,
            "RequestOutputKind": SimpleNamespace(FINAL_ONLY="final"),
        },
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
        "vllm.v1.engine.exceptions": {"EngineDeadError": EngineDeadError},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    for variable in ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(variable, "")  # so that it is put back
        monkeypatch.delenv(variable)
    for name in ("answer", "finish_reason", "stop_reason", "logprobs", "start"):
        monkeypatch.setattr(AsyncLLM, name, getattr(AsyncLLM, name))
    yield AsyncLLM


def load(**how: Any) -> VLLMChat:
    return VLLMChat.load(str(CHAT), uri="vllm:m", **how)


def ask(model: VLLMChat, **sampling: Any) -> Reply:
    return asyncio.run(model.chat(HELLO, Sampling(**sampling)))


def test_a_conversation_becomes_token_ids_and_a_reply(vllm: type[AsyncLLM]) -> None:
    model = load()
    reply = ask(model, temperature=0.7, top_p=0.9, max_tokens=20, seed=7, stop=("\n\n",))
    [(prompt, parameters, name)] = vllm.last.asked
    tokenizer = AutoTokenizer.from_pretrained(CHAT)
    expected = tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(prompt["prompt_token_ids"]) == expected
    assert vars(parameters) == {
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 7,
        "max_tokens": 20,
        "logprobs": None,
        "stop": ["\n\n"],
        "output_kind": "final",
    }
    assert (reply.text, reply.finish_reason, reply.usage.completion_tokens) == ("An answer.", "stop", 3)
    assert reply.usage.prompt_tokens == len(prompt["prompt_token_ids"])
    assert reply.cut_max_tokens is None
    assert model.concurrency == 512
    ask(model)
    assert vllm.last.asked[1][2] != name


def test_opening_by_uri_gives_the_options_to_vllm(vllm: type[AsyncLLM], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolvent.models.opening.require_extra", lambda *_: None)
    options = "dtype=bfloat16&max_model_len=4096&tensor_parallel_size=2&gpu_memory_utilization=0.5"
    model = open_chat(f"vllm:{CHAT}?{options}&trust_remote_code=true")
    arguments = vllm.last.arguments
    assert arguments.model == str(CHAT)
    assert (arguments.dtype, arguments.max_model_len, arguments.tensor_parallel_size) == ("bfloat16", 4096, 2)
    assert (arguments.gpu_memory_utilization, arguments.trust_remote_code) == (0.5, True)
    assert model.uri == f"vllm:{CHAT}?dtype=bfloat16&max_model_len=4096&trust_remote_code=true"


@pytest.mark.parametrize("option", ["max_model_len=x", "tensor_parallel_size=0", "gpu_memory_utilization=1.5"])
def test_numbers_that_cannot_be(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolvent.models.opening.require_extra", lambda *_: None)
    with pytest.raises(InputError, match=option):
        open_chat(f"vllm:{CHAT}?{option}")


def test_identity_names_weights_dtype_context_and_template(tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0]['content'] }}")
    model = json.loads(load().identity)
    assert model == {
        "backend": "vllm",
        "context": CONTEXT,
        "dtype": "bfloat16",
        "template": None,
        "weights": fingerprint(Place(CHAT)),
    }
    other = json.loads(load(chat_template=str(template)).identity)
    assert other.pop("template")
    assert other == {key: value for key, value in model.items() if key != "template"}


def test_a_reply_is_cut_to_what_the_context_leaves_and_a_long_prompt_fails(vllm: type[AsyncLLM]) -> None:
    model = load()
    reply = ask(model, max_tokens=1000)
    [(prompt, parameters, _)] = vllm.last.asked
    assert reply.cut_max_tokens == parameters.max_tokens == CONTEXT - len(prompt["prompt_token_ids"])
    long = [{"role": "user", "content": "word " * 500}]
    with pytest.raises(CallError, match="no room for a reply in the context of 64"):
        asyncio.run(model.chat(long, Sampling()))


def test_reasoning_and_logprobs(vllm: type[AsyncLLM]) -> None:
    vllm.answer = "<think>Hm.</think>Yes."
    vllm.logprobs = [
        {0: SimpleNamespace(logprob=-2.0, decoded_token="Yes"), 9: SimpleNamespace(logprob=-0.5, decoded_token="No")},
        {1: SimpleNamespace(logprob=-0.1, decoded_token="<|end|>")},  # the token that ends the turn is no position
    ]
    reply = ask(load(), top_logprobs=1)
    assert (reply.text, reply.reasoning) == ("Yes.", "Hm.")
    assert reply.logprobs == (TokenLogprob("Yes", -2.0, (("No", -0.5),)),)  # the drawn one is not among the likeliest
    assert vllm.last.asked[0][1].logprobs == 1
    assert vllm.last.arguments.logprobs_mode == "raw_logprobs"


@pytest.mark.parametrize(("reason", "stop", "positions"), [("length", None, 3), ("stop", None, 2), ("stop", 2, 2)])
def test_only_a_reply_that_was_cut_has_a_position_for_each_token(
    vllm: type[AsyncLLM], reason: str, stop: int | None, positions: int
) -> None:
    vllm.logprobs = [{token: SimpleNamespace(logprob=-1.0, decoded_token="a")} for token in range(3)]
    vllm.finish_reason, vllm.stop_reason = reason, stop
    assert len(ask(load(), top_logprobs=1).logprobs or ()) == positions


def test_a_stop_text_is_no_position(vllm: type[AsyncLLM], monkeypatch: pytest.MonkeyPatch) -> None:
    vllm.logprobs = [{token: SimpleNamespace(logprob=-1.0, decoded_token="a")} for token in range(4)]
    vllm.finish_reason, vllm.stop_reason, vllm.answer = "stop", "###", "A b"
    model = load()
    pieces = ["A", " b", "#", "##"]
    monkeypatch.setattr(
        model,
        "_tokenizer",
        SimpleNamespace(
            apply_chat_template=lambda *_, **__: [1], decode=lambda ids, **_: "".join(pieces[i] for i in ids if i < 4)
        ),
    )
    assert len(ask(model, top_logprobs=1, stop=("###",)).logprobs or ()) == 2


@pytest.mark.parametrize("end", ["<think>", "<think>\n"])
def test_reasoning_that_the_template_opened_and_the_limit_cut_is_no_answer(
    vllm: type[AsyncLLM], tmp_path: Path, end: str
) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0]['content'] }}{% if add_generation_prompt %}{{ " + repr(end) + " }}{% endif %}")
    model = load(chat_template=str(template))
    vllm.answer, vllm.finish_reason = "Hm, let me see", "length"
    reply = ask(model)
    assert (reply.text, reply.reasoning) == ("", "Hm, let me see")
    vllm.answer, vllm.finish_reason = "Hm.</think> Yes.", "stop"
    reply = ask(model)
    assert (reply.text, reply.reasoning) == ("Yes.", "Hm.")


def test_a_folder_of_the_users_is_given_to_vllm_whatever_its_name(vllm: type[AsyncLLM], tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / ("ab" * 20)
    folder.parent.mkdir()
    folder.symlink_to(CHAT)
    model = VLLMChat.load(str(folder), uri="vllm:m")
    arguments = vllm.last.arguments
    assert (arguments.model, arguments.revision, arguments.tokenizer_revision) == (str(folder), None, None)
    assert json.loads(model.identity)["weights"] == fingerprint(Place(CHAT))


def test_faults(vllm: type[AsyncLLM]) -> None:
    model = load()
    vllm.answer = ValueError("temperature must be in [0, 2]")
    with pytest.raises(CallError, match=r"vllm:m failed: temperature must be in \[0, 2\]"):
        ask(model)
    vllm.answer = EngineDeadError("no engine")
    with pytest.raises(RunError, match="vLLM's engine stopped: no engine"):
        ask(model)
    vllm.answer, vllm.finish_reason = "half", "abort"
    with pytest.raises(CallError, match="gave the request up"):
        ask(model)


def test_a_cancelled_call_ends_its_request(vllm: type[AsyncLLM]) -> None:
    vllm.answer = None
    model = load()

    async def cancelled() -> None:
        call = asyncio.create_task(model.chat(HELLO, Sampling()))
        while not vllm.last.asked:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await model.close()

    asyncio.run(cancelled())
    assert vllm.last.ended == 1
    assert vllm.last.shut


def test_what_cannot_start(vllm: type[AsyncLLM], tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="there is no folder /nowhere/model"):
        VLLMChat.load("/nowhere/model", uri="vllm:m")
    with pytest.raises(ModelUnavailableError, match=r"config\.json"):
        VLLMChat.load(str(tmp_path), uri="vllm:m")
    base = save_tiny_llama(tmp_path / "base", template=None)
    with pytest.raises(InputError, match="has no chat template"):
        VLLMChat.load(str(base), uri="vllm:m")
    assert vllm.last.shut
    vllm.start = RuntimeError("CUDA out of memory")
    with pytest.raises(ModelUnavailableError, match="cannot start with it: CUDA out of memory"):
        load()


def test_scoring_is_refused() -> None:
    with pytest.raises(InputError, match="cannot score") as caught:
        open_scorer("vllm:org/model")
    assert "hf:ID-or-folder" in caught.value.fix
