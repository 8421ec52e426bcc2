"""Model URIs: ``embedded``, ``hf:ID@revision?option=value``, ``gguf:FILE``, ``vllm:…``, ``openai:MODEL?base_url=…``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import expanduser, isdir, isfile
from urllib.parse import parse_qsl, urlencode, urlsplit

from evolvent.errors import InputError

# The models that answer, as help texts name them.
MODELS = "embedded, smollm2, hf:ID-or-folder, gguf:FILE, vllm:ID-or-folder, openai:MODEL?base_url=http://host:port/v1"

# What can say how good or how hard something is: not the embedded model, which was taught the questions of evolving.
JUDGES = MODELS.removeprefix("embedded, smollm2, ")

EMBEDDED = {
    "embedded": "instruct",
    "embedded-base": "base",
    "embedded-base-sums": "base-sums",
    "embedded-reward": "reward",
}

OPTIONS: dict[str, tuple[str, ...]] = {
    "embedded": (),
    "embedded-base": (),
    "embedded-base-sums": (),
    "embedded-reward": (),
    "gguf": ("chat_template", "context", "slots"),
    "hf": ("chat_template", "device", "dtype", "trust_remote_code"),
    "minilm": (),
    "openai": ("api_key_env", "base_url", "timeout"),
    "smollm2": (),
    "vllm": (
        "chat_template",
        "dtype",
        "gpu_memory_utilization",
        "max_model_len",
        "tensor_parallel_size",
        "trust_remote_code",
    ),
}

# Models that are named without a colon.
NAMES = {*EMBEDDED, "minilm", "smollm2"}

# Those of them that answer nothing, and why; a base model goes on with what it is asked: only evaluate asks it.
BASE = dict.fromkeys(("embedded-base", "embedded-base-sums"), "a base model: it does not follow instructions")
NO_ANSWERS = {
    "embedded-reward": "a reward model: it says how good an answer is, and gives none",
    "minilm": "an encoder: it turns texts into vectors",
}

# What other tools call their back ends: what to write here.
ELSEWHERE = {
    "llama": "gguf:FILE",
    "llama-cpp": "gguf:FILE",
    "llama.cpp": "gguf:FILE",
    "llama_cpp": "gguf:FILE",
    "llamacpp": "gguf:FILE",
    "huggingface": "hf:ID-or-folder",
    "local": "hf:ID-or-folder",
    "transformers": "hf:ID-or-folder",
    "lmstudio": "openai:NAME?base_url=http://localhost:1234/v1",
    "ollama": "openai:NAME?base_url=http://localhost:11434/v1",
    "openrouter": "openai:NAME?base_url=https://openrouter.ai/api/v1",
    "hosted_vllm": "openai:NAME?base_url=http://host:port/v1",
    "http": "openai:NAME?base_url=http://host:port/v1",
    "https": "openai:NAME?base_url=http://host:port/v1",
    "litellm": "openai:NAME?base_url=http://host:port/v1",
    "sglang": "openai:NAME?base_url=http://host:port/v1",
    "tgi": "openai:NAME?base_url=http://host:port/v1",
}

# Back ends that load weights themselves, from a folder or the Hub.
WEIGHTS = {"hf", "vllm"}

# What says how a model is reached, not which model it is: left out of the name that records and manifests hold.
TRANSPORT = {"api_key_env", "device", "gpu_memory_utilization", "slots", "tensor_parallel_size", "timeout"}

# Only an id on the Hub has a revision; a folder's path may hold @ too.
HUB_REVISION = re.compile(r"([\w.-]+(?:/[\w.-]+)?)@(.*)")


@dataclass(frozen=True, slots=True)
class ModelURI:
    """A parsed model URI.

    Attributes:
        scheme: the back end: hf, gguf, vllm or openai; or a model named without one (``NAMES``).
        name: the model's name, id, folder or file; empty for those.
        revision: ``hf:`` and ``vllm:`` only, the part after ``@``.
        options: what stands behind ``?``; of several base URLs the first, which is part of the model's identity.
        more_base_urls: ``openai:`` only, the others: further servers of the same model.
    """

    scheme: str
    name: str
    revision: str | None
    options: dict[str, str]
    more_base_urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The URI as records hold it: transport options and further servers left out."""
        named = {key: value for key, value in sorted(self.options.items()) if key not in TRANSPORT}
        path = f":{self.name}" if self.name else ""
        revision = f"@{self.revision}" if self.revision else ""
        query = f"?{urlencode(named, safe=':/')}" if named else ""
        return f"{self.scheme}{path}{revision}{query}"


def parse_uri(text: str) -> ModelURI:
    """Parse a model URI.

    Raises:
        InputError: an unknown scheme, a missing model name or revision, an unknown option, or a base_url that cannot
            work. The message holds nothing that may be a key or a password written in the wrong place.
    """
    head, _, query = text.strip().partition("?")
    scheme, colon, name = head.rstrip().partition(":")  # as blanks at the end of the whole, so those before options
    accepted = (
        f"Accepted: {', '.join(EMBEDDED)}, smollm2, minilm, hf:ID[@revision] or hf:folder, "
        "gguf:FILE, vllm: as hf:, openai:MODEL?base_url=http://host:port/v1."
    )
    if scheme not in OPTIONS:
        nearest = _nearest(scheme, colon)
        raise InputError(
            f"unknown model {scheme + colon!r}", fix=f"Write {nearest}. {accepted}" if nearest else accepted
        )
    if scheme in NAMES and colon:
        raise InputError(f"the model {scheme} takes no name", fix=accepted)
    if scheme not in NAMES and not name:
        raise InputError(f"{scheme}: names no model", fix=accepted)
    if scheme == "openai" and "://" in name:
        raise InputError("openai: is followed by an address, not by a model's name", fix=accepted)
    given = parse_qsl(query, keep_blank_values=True)
    options = dict(reversed(given))  # of several base URLs the first
    _check_options(scheme, options)
    base_urls = [checked_base_url(value) for option, value in given if option == "base_url"]
    _check_once(scheme, [option for option, _ in given if option != "base_url"], base_urls)
    if base_urls:
        options["base_url"] = base_urls[0]
    revision = None
    # isdir, unlike Path.is_dir, takes a name that is too long for a path
    split = HUB_REVISION.fullmatch(name) if scheme in WEIGHTS and not isdir(name) else None  # noqa: PTH112
    if split:
        name, revision = split.groups()
        if not revision:
            raise InputError(
                f"{scheme}:{name}@ names no revision after @",
                fix=f"Write {scheme}:{name}@REVISION, or {scheme}:{name}.",
            )
    return ModelURI(scheme, name, revision, options, tuple(base_urls[1:]))


def _nearest(scheme: str, colon: str) -> str | None:
    """What to write for a model of another tool's, or for one without its back end."""
    if colon:
        return ELSEWHERE.get(scheme.lower())
    if scheme.lower().endswith(".gguf"):
        return "gguf:FILE"
    return "hf:ID-or-folder" if "/" in scheme else None


def is_gguf(uri: ModelURI) -> bool:
    """Whether a model is in a GGUF file, whichever back end is to read it."""
    return uri.scheme == "gguf" or (uri.scheme in WEIGHTS and uri.name.lower().endswith(".gguf"))


def require_folder(uri: ModelURI) -> None:
    """Check that a model's folder or file is there, where its name can be no other's; else it may be on the Hub.

    Raises:
        InputError: there is none.
    """
    path = expanduser(uri.name)  # noqa: PTH111 (unlike Path's it raises nothing)
    if is_gguf(uri):
        on_hub = can_be_hub_id("/".join(uri.name.split("/")[:2])) and uri.name.count("/") >= 2
        if not (on_hub or isdir(path) or isfile(path)):  # noqa: PTH112, PTH113
            raise InputError(
                f"model {uri}: there is no file {uri.name}",
                fix="Check the path. A file of a repository on the Hub is named gguf:OWNER/NAME/FILE.gguf",
            )
    elif uri.scheme in WEIGHTS and not can_be_hub_id(uri.name, uri.revision) and not isdir(path):  # noqa: PTH112
        raise InputError(f"model {uri}: there is no folder {uri.name}", fix=where_to_look(uri.name))


def where_to_look(name: str) -> str:
    """What to do where there is no folder of this name."""
    on_hub = f" A model on the Hub, beside a folder {name.partition('/')[0]}, takes a revision: {name}@main"
    return "Check the path." + (on_hub if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) else "")


def require_answering(uri: ModelURI) -> None:
    """Check that a model, as it is named, can answer.

    Raises:
        InputError: a model that answers nothing, or a GGUF file that is not named as one.
    """
    if uri.scheme in NO_ANSWERS:
        raise InputError(f"{uri.scheme} is {NO_ANSWERS[uri.scheme]}", fix="Use embedded or smollm2.")
    if is_gguf(uri) and uri.scheme != "gguf":
        raise InputError(
            f"model {uri}: {uri.scheme}: loads folders of transformers, and this is a GGUF file",
            fix=f"llama.cpp answers with it: gguf:{uri.name}",
        )


def check_chat_model(uri: str) -> None:
    """Check, as far as that is known without opening it, that a model can be asked and will answer.

    Raises:
        InputError: a bad URI, a base model, or a folder that is not there.
    """
    scheme = parse_uri(uri).scheme
    if scheme in BASE:
        raise InputError(f"{scheme} is {BASE[scheme]}", fix="Use embedded or smollm2.")
    check_evaluated_model(uri)


def check_evaluated_model(uri: str) -> None:
    """Check, as far as that is known without opening it, that a model can be asked; a base model can.

    Raises:
        InputError: a bad URI, or a folder that is not there.
    """
    parsed = parse_uri(uri)
    require_answering(parsed)
    require_folder(parsed)


def check_judge(uri: str) -> None:
    """Check, as far as that is known without opening it, that a model can be asked how good or how hard something is.

    Raises:
        InputError: as for ``check_chat_model``, or it is the embedded model.
    """
    check_chat_model(uri)
    if parse_uri(uri).scheme == "embedded":
        words = "embedded cannot judge: it was taught to evolve and to answer, not to say how good a text is"
        raise InputError(words, fix=f"Name another model: {JUDGES}.")


def check_local_model(uri: str) -> None:
    """Check that a model's folder or file is there, where its name can be no other's.

    Raises:
        InputError: a bad URI, or a folder or file that is not there.
    """
    require_folder(parse_uri(uri))


def can_be_hub_id(name: str, revision: str | None = None) -> bool:
    """Whether a name can be an id on the Hugging Face Hub; it may be a folder's all the same.

    In a folder that is there it is that of a file or folder, unless it has a revision, which only the Hub knows.
    """
    within, below, _ = name.rpartition("/")
    local = bool(below) and revision is None and isdir(within)  # noqa: PTH112
    return not name.startswith((".", "/", "~")) and name.count("/") < 2 and not local


def checked_base_url(base_url: str) -> str:
    """A server's address without its final slash.

    Raises:
        InputError: it is no http address, or holds more than one: a user name, a query or a fragment, where keys and
            passwords hide, which would then reach manifests and errors. So no message shows it.
    """
    fix = "Write base_url=http://host:port/v1 (or set OPENAI_BASE_URL to such an address); keys go into OPENAI_API_KEY."
    if any(mark in base_url for mark in "@?#"):
        raise InputError("base_url holds more than an address (a user name, a query or a fragment)", fix=fix)
    try:
        url = urlsplit(base_url)
        valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # brackets without an address in them, a port that is no number
        valid = False
    if not valid:
        raise InputError("base_url is not an http address", fix=fix)
    return base_url.rstrip("/")


def _check_once(scheme: str, options: Sequence[str], base_urls: Sequence[str]) -> None:
    for what, values in ((f"the option {{}} of {scheme}", options), ("base_url={}", base_urls)):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise InputError(f"{what.format(twice)} is given twice", fix="Leave one of them out.")


def _check_options(scheme: str, options: dict[str, str]) -> None:
    unknown = sorted(set(options) - set(OPTIONS[scheme]))
    if "api_key" in unknown:
        raise InputError("a key does not belong into a model's URI", fix="Set OPENAI_API_KEY in the environment.")
    if unknown:
        # what is not shaped like an option's name may be the rest of a key or password with an & in it
        shown = [name for name in unknown if options[name] and re.fullmatch("[a-z_-]+", name)]
        known = ", ".join(OPTIONS[scheme]) or "none"
        named = f": {', '.join(shown)}" if shown else ""
        raise InputError(f"unknown option of {scheme}{named}", fix=f"Options of {scheme}: {known}.")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", options.get("api_key_env", "OPENAI_API_KEY")):
        raise InputError(
            "api_key_env does not hold the name of an environment variable",
            fix="Set a variable to the key and name the variable: api_key_env=MY_KEY.",
        )
