import pytest

from evolvent.errors import InputError
from evolvent.models.opening import open_chat, open_scorer, parse_extra_body
from evolvent.models.uri import parse_uri


@pytest.mark.parametrize(
    ("text", "scheme", "name", "revision", "shown"),
    [
        ("embedded", "embedded", "", None, "embedded"),
        (" embedded-base ", "embedded-base", "", None, "embedded-base"),
        ("hf:org/model", "hf", "org/model", None, "hf:org/model"),
        ("hf:org/model@abc", "hf", "org/model", "abc", "hf:org/model@abc"),
        ("hf:/a/b?device=cpu&dtype=float32", "hf", "/a/b", None, "hf:/a/b?dtype=float32"),
        (
            "openai:m/x:free?base_url=http://h:1/v1&api_key_env=K&timeout=5",
            "openai",
            "m/x:free",
            None,
            "openai:m/x:free?base_url=http://h:1/v1",
        ),
        ("openai:a@b", "openai", "a@b", None, "openai:a@b"),
    ],
)
def test_uris(text: str, scheme: str, name: str, revision: str | None, shown: str) -> None:
    uri = parse_uri(text)
    assert (uri.scheme, uri.name, uri.revision, str(uri)) == (scheme, name, revision, shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "embeded",
        "embedded:x",
        "hf",
        "hf:",
        "openai:",
        "gpt-4",
        "openai:m?base-url=x",
        "embedded?device=cpu",
    ],
)
def test_mistakes_say_what_is_accepted(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_uri(text)
    assert "Accepted" in caught.value.fix or "Options of" in caught.value.fix


def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY holds no key"):
        open_chat("openai:some-model")
    with pytest.raises(InputError, match="MY_KEY holds no key"):
        open_chat("openai:some-model?base_url=http://127.0.0.1:1/v1&api_key_env=MY_KEY")


def test_a_key_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    model = open_chat("openai:m?base_url=http://127.0.0.1:1/v1")
    assert "sk-secret" not in f"{model!r} {model.uri} {model.identity}"


@pytest.mark.parametrize("uri", ["openai:m?base_url=ftp://x", "openai:m?base_url=http://x&timeout=soon"])
def test_bad_options(uri: str) -> None:
    with pytest.raises(InputError):
        open_chat(uri)


def test_servers_do_not_score() -> None:
    with pytest.raises(InputError, match="cannot score"):
        open_scorer("openai:m?base_url=http://127.0.0.1:1/v1")


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_extra_body_is_an_object(text: str) -> None:
    with pytest.raises(InputError, match="--extra-body"):
        parse_extra_body(text)
    assert parse_extra_body(None) is None
    assert parse_extra_body('{"top_k": 20}') == {"top_k": 20}
