"""Run the ``vllm:`` back end over vLLM's own front end, without a GPU: python -m tools.vllm_front_end

All of vLLM's that runs in this process is real: engine arguments and configuration, tokenizer, input and output
processing, detokenizing, cancelling. Only the engine core, the process that holds the model, is replaced by one that
answers with a fixed text. vLLM must be importable: installed, or its source and the Python packages that it imports on
PYTHONPATH; its own compiled parts are not needed. ``tools.vllm_api.fetch`` brings the source.
"""

import asyncio
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from evolvent.errors import CallError, RunError
from evolvent.models.folders import EMBEDDED_FOLDER
from evolvent.models.protocols import Sampling
from evolvent.models.vllm import ENVIRONMENT, VLLMChat
from evolvent.records import Message

os.environ.update(ENVIRONMENT)
FOLDER = EMBEDDED_FOLDER / "instruct"
TEXT = "<think>Hm.</think>Write a short haiku about a cat."
ASK: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write a haiku."}]


class Core:
    """In the place of vLLM's engine core: answers each request with the same text, in two pieces."""

    last: "Core"

    def __init__(self) -> None:
        self.outputs: asyncio.Queue[Any] = asyncio.Queue()
        self.requests: list[Any] = []
        self.aborted: list[str] = []
        self.answers = True
        self.closed = False
        self.resources = SimpleNamespace(engine_dead=False)
        self.tokenizer = AutoTokenizer.from_pretrained(FOLDER)
        Core.last = self

    async def get_supported_tasks_async(self) -> tuple[str, ...]:
        return ("generate",)

    async def add_request_async(self, request: Any) -> None:
        from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason

        self.requests.append(request)
        if not self.answers:
            return
        ids = [*self.tokenizer.encode(TEXT, add_special_tokens=False), self.tokenizer.eos_token_id]
        bound = request.sampling_params.max_tokens
        reason = FinishReason.LENGTH if len(ids) > bound else FinishReason.STOP
        ids = ids[:bound]
        half = len(ids) // 2
        for piece, ends in ((ids[:half], None), (ids[half:], reason)):
            output = EngineCoreOutput(request_id=request.request_id, new_token_ids=piece, finish_reason=ends)
            if request.sampling_params.logprobs is not None:
                output.new_logprobs = logprobs(piece)
            self.outputs.put_nowait(EngineCoreOutputs(outputs=[output]))

    async def get_output_async(self) -> Any:
        output = await self.outputs.get()
        if isinstance(output, Exception):
            self.resources.engine_dead = True
            raise output
        return output

    async def abort_requests_async(self, names: Sequence[str]) -> None:
        self.aborted += names

    def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002 (vLLM gives it)
        self.closed = True


def logprobs(ids: Sequence[int]) -> Any:
    """As the sampler gives them: the drawn token first, then the likeliest, which here is another."""
    from vllm.v1.outputs import LogprobsLists

    drawn = np.array(ids)
    values = np.tile(np.array([[-2.0, -0.5]], dtype=np.float32), (len(ids), 1))
    return LogprobsLists(np.stack([drawn, drawn + 1], axis=1), values, np.full(len(ids), 2))


async def check() -> None:
    """Every path of the back end, once.

    Raises:
        AssertionError: vLLM and the back end do not fit together.
    """
    from vllm.v1.engine.exceptions import EngineDeadError

    model = VLLMChat.load(str(FOLDER), uri="vllm:embedded", dtype="float32", max_model_len=256)
    core = Core.last
    reply = await model.chat(ASK, Sampling(temperature=0.7, top_p=0.9, max_tokens=200, seed=3))
    asked = core.requests[-1]
    template = core.tokenizer.apply_chat_template(ASK, add_generation_prompt=True, tokenize=False)
    assert core.tokenizer.decode(asked.prompt_token_ids) == template
    wanted = (0.7, 0.9, 3, 200)
    given = asked.sampling_params
    assert (given.temperature, given.top_p, given.seed, given.max_tokens) == wanted
    assert (reply.text, reply.reasoning, reply.finish_reason) == (TEXT.partition("</think>")[2], "Hm.", "stop")
    assert reply.usage.prompt_tokens == len(asked.prompt_token_ids)

    short = await model.chat(ASK, Sampling(temperature=0, max_tokens=3, top_logprobs=1))
    assert (short.finish_reason, short.usage.completion_tokens) == ("length", 3)
    assert short.logprobs is not None
    assert [round(token.logprob, 3) for token in short.logprobs] == [-2.0] * 3
    assert [round(token.top[0][1], 3) for token in short.logprobs] == [-0.5] * 3

    many = await asyncio.gather(*(model.chat(ASK, Sampling(max_tokens=9000, seed=seed)) for seed in range(200)))
    assert {(one.text, one.cut_max_tokens) for one in many} == {(reply.text, 256 - reply.usage.prompt_tokens)}

    for messages, sampling in ((ASK, Sampling(temperature=3)), ([*ASK, *ASK * 40], Sampling())):
        try:
            await model.chat(messages, sampling)
        except CallError as error:
            print(f"refused, as it should be: {error}")
        else:
            raise AssertionError("what vLLM refuses went through")

    core.answers = False
    sent = len(core.requests)
    call = asyncio.create_task(model.chat(ASK, Sampling()))
    while len(core.requests) == sent:
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert core.aborted == [core.requests[-1].request_id]

    call = asyncio.create_task(model.chat(ASK, Sampling()))
    while len(core.requests) == sent + 1:
        await asyncio.sleep(0)
    core.outputs.put_nowait(EngineDeadError())
    [died] = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(died, RunError), died
    await model.close()
    assert core.closed


def main() -> None:
    """Put the replacement in its place, and check."""
    import vllm
    import vllm.platforms
    from vllm.platforms.cpu import CpuPlatform
    from vllm.v1.engine.core_client import EngineCoreClient

    vllm.platforms._current_platform = CpuPlatform()
    EngineCoreClient.make_async_mp_client = staticmethod(lambda **_: Core())
    asyncio.run(check())
    print(f"the back end and the front end of vLLM {vllm.__version__} fit together")


if __name__ == "__main__":
    main()
