"""Model URIs: ``embedded``, ``hf:ID@revision?option=value``, ``openai:MODEL?base_url=…``."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from evolvent.errors import InputError

EMBEDDED = {"embedded": "instruct", "embedded-base": "base"}

OPTIONS: dict[str, tuple[str, ...]] = {
    "embedded": (),
    "embedded-base": (),
    "hf": ("chat_template", "device", "dtype", "trust_remote_code"),
    "openai": ("api_key_env", "base_url", "timeout"),
}

# What says how a model is reached, not which model it is: left out of the name that records and manifests hold.
TRANSPORT = {"api_key_env", "device", "timeout"}


@dataclass(frozen=True, slots=True)
class ModelURI:
    """A parsed model URI.

    Attributes:
        scheme: the back end: embedded, embedded-base, hf or openai.
        name: the model's name, id or folder; empty for the embedded models.
        revision: ``hf:`` only, the part after ``@``.
        options: what stands behind ``?``.
    """

    scheme: str
    name: str
    revision: str | None
    options: dict[str, str]

    def __str__(self) -> str:
        """The URI as records hold it: transport options left out."""
        named = {key: value for key, value in sorted(self.options.items()) if key not in TRANSPORT}
        path = f":{self.name}" if self.name else ""
        revision = f"@{self.revision}" if self.revision else ""
        query = f"?{urlencode(named, safe=':/')}" if named else ""
        return f"{self.scheme}{path}{revision}{query}"


def parse_uri(text: str) -> ModelURI:
    """Parse a model URI.

    Raises:
        InputError: an unknown scheme, a missing model name, or an unknown option.
    """
    head, _, query = text.strip().partition("?")
    scheme, colon, name = head.partition(":")
    accepted = (
        "Accepted: embedded, embedded-base, hf:ID-or-folder[@revision], openai:MODEL?base_url=http://host:port/v1."
    )
    if scheme not in OPTIONS:
        raise InputError(f"unknown model {text!r}", fix=accepted)
    if scheme in EMBEDDED and colon:
        raise InputError(f"unknown model {text!r}: {scheme} takes no name", fix=accepted)
    if scheme not in EMBEDDED and not name:
        raise InputError(f"model {text!r} names no model after {scheme}:", fix=accepted)
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(OPTIONS[scheme]))
    if unknown or (query and not options):
        known = ", ".join(OPTIONS[scheme]) or "none"
        raise InputError(
            f"model {text!r}: unknown option {', '.join(unknown) or query!r}", fix=f"Options of {scheme}: {known}."
        )
    revision = None
    if scheme == "hf" and "@" in name:
        name, _, revision = name.rpartition("@")
    return ModelURI(scheme, name, revision, options)
