"""What of a run everybody may see: models and files by their last names, and no addresses, keys or folders.

It is about what evolvent notes: settings, inputs, reasons, columns that name models. The data's own texts, and columns
of the seeds, are published as they are.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import orjson

from evolvent.datasets.sources import HUB_ID, READERS
from evolvent.errors import InputError
from evolvent.models.gguf.files import cached_gguf
from evolvent.models.uri import ModelURI, can_be_hub_id, parse_uri
from evolvent.runs.manifest import StageEntry

LEFT_OUT = "(left out)"
# Fields that hold keys, and what keys look like anywhere.
_KEY_FIELD = re.compile(r"(?i)(?:api[_-]?key|(?:^|[_-])key|secret|passw(?:or)?d|auth(?:orization)?|token|cookie)$")
_KEY = re.compile(
    r"\b(?:sk|csk|gsk|xai|nvapi|pplx|r8|fw|gh[oprsu]|github_pat|glpat)[-_][\w-]{16,}|\bAIza[\w-]{30,}"
    r"|\bhf_[A-Za-z0-9]{16,}|\bAKIA[A-Z0-9]{12,}|\beyJ[\w-]{8,}(?:\.[\w-]{8,})+|(?i:\bbearer\s+[^\s\"']+)"
)
# A URL, an IP address, a host with its port; the last two only look like those, at first.
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>)\]]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|(?<![\w\])])\[(?P<ip>[0-9a-f:.]+)\](?::\d+)?|\b(?P<host>[\w-]+(?:\.[\w-]+)*):(?P<port>\d{2,5})\b",
    re.IGNORECASE,
)
_HOST = re.compile(r"localhost|.*\.[a-z][\w-]*", re.IGNORECASE)
# What is said of a server; there a host may be called by one word, as gpu-7:8000.
_OF_SERVER = re.compile(r"connect|refused|reach|resolve|timed? ?out|server|\bhost", re.IGNORECASE)
_FOLDERS = re.compile(r"(?<![\w.~/-])~?(?:/[^\s/\"'`,;:()<>|]+)+/(?=[^\s/\"'`,;:()<>|])")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Public:
    """What everybody may see of texts and values that a run holds.

    Attributes:
        names: by URI, what each of its models is called.
    """

    names: Mapping[str, str]

    def text(self, text: str) -> str:
        """A text of ours or of a server's."""
        for uri in sorted(self.names, key=len, reverse=True):
            text = text.replace(uri, self.names[uri])
        return _FOLDERS.sub("", _ADDRESS.sub(_without_address, _KEY.sub(LEFT_OUT, text)))

    def model(self, uri: str) -> str:
        """A model's name, also of one that the run's manifest does not know."""
        return self.names.get(uri) or _model(uri, "")

    def value(self, value: Any) -> Any:
        """A value as JSON has it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): LEFT_OUT if inner and _KEY_FIELD.search(str(key)) else self.value(inner)
                for key, inner in value.items()
            }
        return [self.value(one) for one in value] if isinstance(value, list | tuple) else value

    def entry(self, entry: StageEntry) -> StageEntry:
        """A stage's entry, without what was paid."""
        settings = self.value(entry.settings)
        for test in settings.get("decontaminate") or ():
            test["file"] = Path(test["file"]).name
        return replace(
            entry,
            settings=settings,
            input={**self.value(entry.input), "source": source_name(str(entry.input.get("source", "")))},
            models={self.model(uri): _identity(identity) for uri, identity in entry.models.items()},
            served={self.model(uri): self.value(names) for uri, names in entry.served.items()},
            counts=self.value(entry.counts),
            paid={},
            used={},
        )


def public(entries: Iterable[StageEntry]) -> Public:
    """What everybody may see of a run.

    Args:
        entries: those of its manifest.
    """
    identities: dict[str, str] = {}
    for entry in entries:
        identities |= dict.fromkeys((*entry.paid, *entry.used, *entry.served), "") | entry.models
    names: dict[str, str] = {}
    for uri, identity in identities.items():
        name = plain = _model(uri, weights_of(identity) or "")
        number = 1
        while name in names.values():
            number += 1
            name = f"{plain} #{number}"
        names[uri] = name
    return Public(names)


def source_name(source: str) -> str:
    """Where data came from: a data set on the Hub, or the last name of a file."""
    on_hub = HUB_ID.fullmatch(source) and Path(source).suffix.lower() not in (*READERS, ".gz")
    return source if on_hub and not Path(source).exists() else Path(source).name


def weights_of(identity: str) -> str | None:
    """The hash of a model's weights, or its commit on the Hub, in what a manifest notes of it; None of a server's."""
    try:
        weights = orjson.loads(identity)["weights"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return weights if isinstance(weights, str) else None


def _without_address(found: re.Match[str]) -> str:
    """What stands in the place of an address; what only looks like one (``seed:12345``, ``[12:30:45]``) stays."""
    if found["ip"]:
        try:
            IPv6Address(found["ip"])
        except ValueError:
            return found[0]
    if host := found["host"]:
        named = _HOST.fullmatch(host) or (host[0].isalpha() and _OF_SERVER.search(found.string))
        return LEFT_OUT if named and 0 < int(found["port"]) < 1 << 16 else found[0]
    return LEFT_OUT


def _identity(identity: str) -> str:
    """What is noted of a model, without a server's address and what else a request held."""
    try:
        found = orjson.loads(identity)
        return orjson.dumps({name: found[name] for name in ("backend", "weights") if name in found}).decode()
    except (orjson.JSONDecodeError, TypeError):
        return LEFT_OUT


def _model(uri: str, weights: str) -> str:
    try:
        parsed = parse_uri(uri)
    except InputError:
        return uri if "/" not in uri else Path(uri).name
    options = {name: Path(value).name for name, value in parsed.options.items() if name != "base_url"}
    served = parsed.scheme == "openai" and can_be_hub_id(parsed.name, parsed.revision)  # vLLM's name may be a path
    name = parsed.name if served or _on_hub(parsed, weights) else Path(parsed.name).name
    return str(replace(parsed, name=name, options=options))


def _on_hub(model: ModelURI, weights: str) -> bool:
    """Whether a name is one on the Hub, where weights are known by their commit; else it may be that of a folder."""
    if model.scheme == "gguf":
        return bool(find_spec("huggingface_hub")) and cached_gguf(model.name) is not None
    return bool(_COMMIT.fullmatch(weights)) or (not weights and can_be_hub_id(model.name, model.revision))
