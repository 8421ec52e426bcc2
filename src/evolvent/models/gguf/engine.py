"""llama.cpp with a model, once a process for each file and context, shared by all that use it."""

import os
import secrets
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import orjson

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.interrupts import killed_by_signals
from evolvent.models.gguf.files import digest_of
from evolvent.models.gguf.header import read_header

# The context of a conversation where the model was trained on more: every slot has the memory for all of it.
CONTEXT = 4096

# Conversations at once. On two cores more of them are hardly faster (benchmarks/gguf_vs_hf.py), and each takes memory.
SLOTS = 8

# Prompt tokens in one step: a call that is cancelled, or Ctrl-C, waits for the end of the step.
STEP_TOKENS = 64

# Threads that wait for one another spin by default, which on cores that others use too is up to 30 times slower.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}

_held: WeakValueDictionary[tuple[object, ...], "Engine"] = WeakValueDictionary()
_loading = Lock()


@dataclass(eq=False)
class Engine:
    """A model in llama.cpp.

    Attributes:
        server: xllamacpp's ``Server``: llama.cpp's scheduler with its slots.
        slots: conversations at once.
        threads: one a slot: each waits for the reply of one call.
        digest: SHA-256 of the file.
        context: tokens of one conversation, prompt and reply together.
        opening: how the chat template writes a question, up to where the reply begins.
    """

    server: Any
    slots: int
    threads: ThreadPoolExecutor
    digest: str
    context: int
    opening: str


def open_engine(file: Path, uri: str, *, context: int | None, slots: int | None, template: str | None) -> Engine:
    """Load a model, or share it with those who hold it already.

    Args:
        file: the GGUF file.
        uri: the model's name in messages to the user.
        context: tokens of one conversation; None for the model's own, up to 4,096.
        slots: conversations at once; None for 8.
        template: a chat template instead of the file's.

    Raises:
        InputError: the file has no chat template, or a broken one.
        ModelUnavailableError: it cannot be read, or is nothing that llama.cpp can load.
    """
    about = file.stat()
    key = (file.resolve(), about.st_size, about.st_mtime_ns, context, slots, template)
    with _loading:
        engine = _held.get(key)
        if engine is None:
            engine = _held[key] = _load(file, uri, context, slots or SLOTS, template)
        return engine


def _load(file: Path, uri: str, context: int | None, slots: int, template: str | None) -> Engine:
    header = read_header(file, uri)
    if template is None and not header.get("tokenizer.chat_template"):
        raise InputError(
            f"model {uri} has no chat template: it is a base model, or its file was made without one",
            fix="Name one: gguf:FILE?chat_template=alpaca (plain text), =chatml, or a Jinja file",
        )
    architecture = header.get("general.architecture")
    trained = header.get(f"{architecture}.context_length")
    context = min(context or CONTEXT, trained if isinstance(trained, int) else CONTEXT)
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel = context * slots, slots
    params.n_batch = params.n_ubatch = max(STEP_TOKENS, slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _cores()
    # A conversation's numbers are to depend as little as can be on the others', and not at all on what the slot
    # answered before. Plain attention adds up otherwise where a prompt's last token is computed apart from the rest.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_prompt, params.cache_ram_mib = False, 0
    params.fit_params = params.warmup = False
    params.force_pure_content_parser = True  # the text as generated
    params.verbosity = -1
    if template is not None:
        params.chat_template = template
    # its server listens on a port of this machine, whether it is wanted or not: nobody else knows the key
    key = secrets.token_urlsafe()
    params.api_keys = [key]
    try:
        with killed_by_signals():  # it keeps Python's lock: no handler would run
            server = xllamacpp.Server(params)
    except RuntimeError as error:  # its only words: "please check the input params"
        raise ModelUnavailableError(
            f"model {uri}: llama.cpp cannot load {file} (architecture {architecture})",
            fix="The file may be cut off (compare its size with the source's), or of an architecture that this "
            "release of llama.cpp does not know (pip install -U xllamacpp), or its context too large for the memory "
            "(?context=2048&slots=2).",
        ) from error
    # its loop runs once a call is answered: a server that is given up before would wait for ever
    server.handle_completions({"prompt": "?", "max_tokens": 1})
    opening = _written(server.listening_address, key, uri)
    return Engine(server, slots, ThreadPoolExecutor(slots, "evolvent-gguf"), digest_of(file), context, opening)


def _cores() -> int:
    """Those that this process may use, where the system says which."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _written(address: str, key: str, uri: str) -> str:
    """A question as the model's chat template writes it."""
    request = urllib.request.Request(
        f"{address}/apply-template",
        orjson.dumps({"messages": [{"role": "user", "content": "?"}]}),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return str(orjson.loads(answer.read())["prompt"])
    except urllib.error.HTTPError as error:
        words = orjson.loads(error.read())["error"]["message"]
        raise InputError(
            f"model {uri}: its chat template cannot write a single turn of a user: {words}",
            fix="Mend the template, or name another: gguf:FILE?chat_template=FILE",
        ) from error
