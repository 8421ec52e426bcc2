"""VLLMChat: vLLM's AsyncLLM in this process, as a ``ChatModel``. Written against vLLM 0.33.

Thin on purpose: vLLM batches, schedules and caches. A conversation goes through the tokenizer's chat template to token
ids, the ids to ``AsyncLLM.generate``, its one final output into a ``Reply``. Every name of vLLM's that is used here is
compared with vLLM's own source in tests/models/test_vllm_api.py.
"""

import hashlib
import os
from collections.abc import Sequence
from itertools import count
from typing import Any, Self

import orjson

from evolvent.errors import CallError, InputError, ModelUnavailableError, RunError
from evolvent.hub import without_telemetry
from evolvent.models.chat_template import read_template
from evolvent.models.fingerprint import fingerprint
from evolvent.models.folders import Place, find_model
from evolvent.models.protocols import Reply, Sampling, TokenLogprob, Usage
from evolvent.models.reasoning import PROMPT_END, split_generated
from evolvent.models.stop_texts import tokens_before
from evolvent.models.uri import ModelURI
from evolvent.records import Message

# vLLM reads these when it is imported: its log goes to the terminal, and it reports every start to its makers.
ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}


class VLLMChat:
    """A chat model run by vLLM (a ``ChatModel``). Made by ``VLLMChat.load``.

    Attributes:
        uri: the model's URI.
        identity: weights, dtype, template and context, as canonical JSON text.
        concurrency: twice the sequences that the engine runs at once: one set runs while the next waits.
    """

    def __init__(self, engine: Any, uri: str, identity: str, template: str | None) -> None:
        self.uri = uri
        self.identity = identity
        self.concurrency = 2 * int(engine.vllm_config.scheduler_config.max_num_seqs)
        self._engine = engine
        self._tokenizer = engine.get_tokenizer()
        self._context = int(engine.model_config.max_model_len)
        self._template = template
        self._numbers = count()

    @classmethod
    def load(
        cls,
        name: str,
        *,
        uri: str,
        revision: str | None = None,
        dtype: str = "auto",
        chat_template: str | None = None,
        trust_remote_code: bool = False,
        max_model_len: int | None = None,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.92,
    ) -> Self:
        """Start vLLM with a model. It takes its GPUs, and its processes, until ``close``.

        Args:
            name: a folder, or an id on the Hugging Face Hub.
            uri: the model's URI, for records and messages.
            revision: branch, tag or commit on the Hub.
            dtype: auto (as the model's config says), float16, bfloat16 or float32.
            chat_template: a file with a Jinja chat template, instead of the model's own.
            trust_remote_code: run Python code that comes with the model.
            max_model_len: the context in tokens, prompt and reply; None for the model's own.
            tensor_parallel_size: over how many GPUs the model is split.
            gpu_memory_utilization: the share of a GPU's memory that vLLM takes.

        Raises:
            InputError: an unreadable template file, or a model without a chat template.
            ModelUnavailableError: no such model, or vLLM cannot start with it.
        """
        template = read_template(chat_template, uri) if chat_template else None
        place = find_model(name, revision, uri)
        without_telemetry()
        for variable, value in ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

            arguments = AsyncEngineArgs(
                model=name if place.commit else str(place.folder),
                revision=place.commit,  # not the branch, which may move meanwhile
                tokenizer_revision=place.commit,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
                tensor_parallel_size=tensor_parallel_size,
                disable_log_stats=True,
                gpu_memory_utilization=gpu_memory_utilization,
                max_model_len=max_model_len,
                logprobs_mode="raw_logprobs",  # before temperature and whatever else the drawing does
            )
            engine = AsyncLLM.from_engine_args(arguments)
        except Exception as error:  # out of memory, a driver, a kind of model: vLLM and CUDA raise anything then
            raise ModelUnavailableError(
                f"model {uri}: vLLM cannot start with it: {_words(error)}",
                fix="vLLM's own words stand above. When memory is short: ?max_model_len=8192, "
                "?gpu_memory_utilization=0.8, or ?tensor_parallel_size=N for N GPUs.",
            ) from error
        try:
            model = cls(engine, uri, _identity(place, engine.model_config, template), template)
            model._check_template()
        except BaseException:
            engine.shutdown()
            raise
        return model

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Answer one conversation.

        Args:
            messages: the conversation.
            sampling: its own settings; a seed of None leaves it to the engine.

        Returns:
            The reply; ``cut_max_tokens`` holds the bound used where the context leaves less than ``max_tokens``.

        Raises:
            CallError: the prompt fills the context, the template refuses the messages, or vLLM refuses the request.
            RunError: vLLM's engine died.
        """
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind, SamplingParams
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt = self._prompt(messages)
        room = self._context - len(prompt)
        if room < 1:
            raise CallError(
                f"model {self.uri}: the prompt has {len(prompt)} tokens, which leaves no room for a reply "
                f"in the context of {self._context}"
            )
        bound = min(sampling.max_tokens, room)
        last = None
        try:
            parameters = SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                max_tokens=bound,
                logprobs=sampling.top_logprobs or None,
                stop=list(sampling.stop) or None,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            # cancelling this call ends the generator, which takes the request out of the engine
            outputs = self._engine.generate(tokens_input(prompt), parameters, f"evolvent-{next(self._numbers)}")
            async for output in outputs:
                last = output
        except EngineDeadError as error:
            raise RunError(
                f"model {self.uri}: vLLM's engine stopped: {_words(error)}",
                fix="Its own words stand above. What it answered is stored: start the same command again.",
            ) from error
        except Exception as error:  # a refused parameter, a failed request: vLLM's errors share no base with Python's
            raise CallError(f"model {self.uri} failed: {_words(error)}") from error
        completion = last.outputs[0] if last else None
        if completion is None or completion.finish_reason in (None, "abort", "error"):
            raise CallError(f"model {self.uri}: vLLM gave the request up")
        opening = self._tokenizer.decode(prompt[-PROMPT_END:])
        text, reasoning = split_generated(completion.text, opening, cut=completion.finish_reason != "stop")
        logprobs = None
        if completion.logprobs is not None:
            steps = list(zip(completion.token_ids, completion.logprobs, strict=True))
            steps = steps[: self._positions(completion)]
            logprobs = tuple(_token_logprob(token, step, sampling.top_logprobs) for token, step in steps)
        return Reply(
            text=text,
            finish_reason="loop" if completion.finish_reason == "repetition" else completion.finish_reason,
            usage=Usage(len(prompt), len(completion.token_ids)),
            reasoning=reasoning,
            logprobs=logprobs,
            cut_max_tokens=bound if bound < sampling.max_tokens else None,
        )

    async def close(self) -> None:
        """End vLLM's processes and give back its memory."""
        self._engine.shutdown()

    def _positions(self, completion: Any) -> int:
        """How many tokens of a reply are its text's: not the one that ends the turn, nor a stop text's."""
        tokens = list(completion.token_ids)
        if completion.finish_reason != "stop":
            return len(tokens)
        if not isinstance(completion.stop_reason, str):  # None, or the number of the token that ended the turn
            return len(tokens) - 1
        return tokens_before(
            completion.text, tokens, lambda first: str(self._tokenizer.decode(first, skip_special_tokens=True))
        )

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        try:
            return self._templated(messages)
        except Exception as error:  # templates are programs: besides Jinja's errors theirs are Python's
            raise CallError(f"model {self.uri}: the chat template refuses this conversation: {error}") from error

    def _check_template(self) -> None:
        try:
            self._templated([{"role": "user", "content": "?"}])
        except Exception as error:  # as above; a model without a template raises too
            raise InputError(
                f"model {self.uri} has no chat template that can write the turn of a user: {_words(error)}",
                fix="It may be a base model. Or name one: vllm:MODEL?chat_template=alpaca (plain text), =chatml, or "
                "a Jinja file",
            ) from error

    def _templated(self, messages: Sequence[Message]) -> list[int]:
        # token ids, not text: the tokenizers of some models do not read special tokens back from a text
        ids = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return list(ids)


def engine_numbers(uri: ModelURI) -> dict[str, Any]:
    """The numbers among a ``vllm:`` URI's options, as ``VLLMChat.load`` takes them.

    Raises:
        InputError: one of them is no number, or not in its range.
    """
    numbers: dict[str, Any] = {}
    for name, kind, most in (
        ("gpu_memory_utilization", float, 1.0),
        ("max_model_len", int, float("inf")),
        ("tensor_parallel_size", int, float("inf")),
    ):
        if name in uri.options:
            try:
                numbers[name] = kind(uri.options[name])
                usable = 0 < numbers[name] <= most
            except ValueError:
                usable = False
            if not usable:
                limit = "above 0, up to 1" if kind is float else "whole, at least 1"
                raise InputError(f"model {uri}: {name}={uri.options[name]} cannot be", fix=f"It is a number {limit}.")
    return numbers


def _token_logprob(token: int, step: Any, count: int) -> TokenLogprob:
    """One generated token. vLLM gives a dict from token id to logprob: the likeliest, and the drawn token's own."""
    chosen = step[token]
    ranked = sorted(step.values(), key=lambda logprob: -logprob.logprob)
    return TokenLogprob(
        chosen.decoded_token or "",
        chosen.logprob,
        tuple((logprob.decoded_token or "", logprob.logprob) for logprob in ranked[:count]),
    )


def _identity(place: Place, config: Any, template: str | None) -> str:
    content = {
        "backend": "vllm",
        "context": int(config.max_model_len),
        "dtype": str(config.dtype).removeprefix("torch."),
        "template": hashlib.sha256(template.encode()).hexdigest() if template else None,
        "weights": fingerprint(place),
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
