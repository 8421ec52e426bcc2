from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evolvent.errors import InputError, ModelUnavailableError
from evolvent.models.folders import own_folder
from evolvent.models.opening import open_chat, open_scorer
from evolvent.models.uri import check_chat_model, check_local_model, checked_base_url, parse_uri


@pytest.mark.parametrize(
    ("text", "scheme", "name", "revision", "shown"),
    [
        ("embedded", "embedded", "", None, "embedded"),
        (" embedded-base ", "embedded-base", "", None, "embedded-base"),
        ("hf:org/model", "hf", "org/model", None, "hf:org/model"),
        ("hf:org/model@abc", "hf", "org/model", "abc", "hf:org/model@abc"),
        ("hf:m@refs/pr/1", "hf", "m", "refs/pr/1", "hf:m@refs/pr/1"),
        ("hf:o/m@feature@2", "hf", "o/m", "feature@2", "hf:o/m@feature@2"),
        ("hf:/runs@home/m", "hf", "/runs@home/m", None, "hf:/runs@home/m"),
        ("hf:" + "x" * 300 + "@1", "hf", "x" * 300, "1", "hf:" + "x" * 300 + "@1"),
        ("hf:~/models/m@2", "hf", "~/models/m@2", None, "hf:~/models/m@2"),
        ("hf:m?", "hf", "m", None, "hf:m"),
        ("openai:m?base_url=https://h/v1/", "openai", "m", None, "openai:m?base_url=https://h/v1"),
        ("hf:/a/b?device=cpu&dtype=float32", "hf", "/a/b", None, "hf:/a/b?dtype=float32"),
        (
            "openai:m/x:free?base_url=http://h:1/v1&api_key_env=K&timeout=5",
            "openai",
            "m/x:free",
            None,
            "openai:m/x:free?base_url=http://h:1/v1",
        ),
        ("openai:a@b", "openai", "a@b", None, "openai:a@b"),
        ("smollm2", "smollm2", "", None, "smollm2"),
        ("gguf:o/m/f.gguf?slots=4&context=99", "gguf", "o/m/f.gguf", None, "gguf:o/m/f.gguf?context=99"),
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
        "openai:http://h:1/v1",
    ],
)
def test_mistakes_say_what_is_accepted(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_uri(text)
    assert "Accepted" in caught.value.fix or "Options of" in caught.value.fix


def test_unknown_option_is_named() -> None:
    with pytest.raises(InputError, match="unknown option of openai: base-url"):
        parse_uri("openai:m?base-url=x")


@pytest.mark.parametrize("text", ["hf:ID@", "hf:org/m@?dtype=float32"])
def test_empty_revision(text: str) -> None:
    with pytest.raises(InputError, match="names no revision after @"):
        parse_uri(text)


def test_folder_with_an_at_sign_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (parse_uri("hf:m@2").name, parse_uri("hf:m@2").revision) == ("m", "2")
    (tmp_path / "m@2").mkdir()
    assert (parse_uri("hf:m@2").name, parse_uri("hf:m@2").revision) == ("m@2", None)
    assert (parse_uri(f"hf:{tmp_path}/m@2").name, parse_uri(f"hf:{tmp_path}/x@2").revision) == (f"{tmp_path}/m@2", None)


@pytest.mark.parametrize(
    "text",
    [
        "openai:m?api_key=sk-secret",
        "openai:m?sk-secret",
        "openai:m?base_url=http://h/v1&api_key=sk-secret",
        "openai:m?api_key_env=sk-secret",
        "openai:m?base_url=http://ann:secret@h/v1",
        "openai:m?base_url=http://ann:sk&secret@h/v1",
        "openai:m?base_url=http://ann:sk&a=secret@h/v1",
        "openai:m?base_url=http://ann:secret/5@h/v1",
        "openai:m?base_url=http://ann:secret%40h/v1",
        "openai:m?base_url=http://h:secret/v1",
        "openai:m?base_url=http://h/v1?key=secret",
        "openai:m?base_url=http://h/v1%3Fkey=secret",
        "openai:m?base_url=secret",
        "openai:http://ann:secret@h/v1",
        "opnai:m?base_url=http://ann:secret@h/v1",
        "http://ann:secret@h/v1",
        "embedded:secret",
        "embedded?base_url=http://ann:secret@h/v1",
    ],
)
def test_no_message_shows_what_may_be_a_password(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_uri(text)
    assert "secret" not in str(caught.value)


def test_several_servers_have_the_name_of_the_first() -> None:
    uri = parse_uri("openai:m?base_url=http://b/v1/&timeout=5&base_url=http://a/v1&base_url=http://c/v1/")
    assert str(uri) == "openai:m?base_url=http://b/v1"
    assert uri.more_base_urls == ("http://a/v1", "http://c/v1")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("openai:m?base_url=http://a/v1&base_url=http://a/v1/", "base_url=http://a/v1 is given twice"),
        ("openai:m?timeout=5&base_url=http://a/v1&timeout=6", "the option timeout of openai is given twice"),
        ("hf:org/m?dtype=float32&dtype=bfloat16", "the option dtype of hf is given twice"),
        ("openai:m?base_url=http://a/v1&base_url=http://ann:secret@h/v1", "more than an address"),
    ],
)
def test_what_is_given_twice_is_refused(uri: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse_uri(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["", "h/v1", "ftp://h/v1", "http://", "http:///v1", "http://h:99999", "http://[h/v1", "http://h/v1?"]
)
def test_addresses_that_cannot_work(base_url: str) -> None:
    with pytest.raises(InputError, match="base_url"):
        checked_base_url(base_url)
    with pytest.raises(InputError, match="base_url"):
        parse_uri(f"openai:m?base_url={base_url}")


@given(st.text())
@example("0 ?")
@example(" ?")
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for prefix in ("", "openai:m?base_url=http://", "hf:"):
        try:
            uri = parse_uri(prefix + text)
        except InputError:
            continue
        assert parse_uri(str(uri)).name == uri.name


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


@pytest.mark.parametrize("timeout", ["soon", "0", "-1", "nan", "inf", "-inf", ""])
def test_bad_timeouts(timeout: str) -> None:
    with pytest.raises(InputError, match=r"time-out|seconds"):
        open_chat(f"openai:m?base_url=http://x&timeout={timeout}")


def test_a_bad_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://ann:secret@h/v1")
    with pytest.raises(InputError, match="OPENAI_BASE_URL") as caught:
        open_chat("openai:m")
    assert "secret" not in str(caught.value)


def test_servers_do_not_score() -> None:
    with pytest.raises(InputError, match="cannot score"):
        open_scorer("openai:m?base_url=http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("ollama:llama3", "openai:NAME?base_url=http://localhost:11434/v1"),
        ("llama.cpp:model.gguf", "gguf:FILE"),
        ("transformers:org/model", "hf:ID-or-folder"),
        ("./model.gguf", "gguf:FILE"),
        ("org/model", "hf:ID-or-folder"),
    ],
)
def test_other_tools_names_get_the_nearest_of_ours(text: str, nearest: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_uri(text)
    assert f"Write {nearest}." in caught.value.fix


@pytest.mark.parametrize("scheme", ["hf", "vllm"])
def test_a_gguf_file_answers_through_llama_cpp_alone(tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "model.gguf"
    file.touch()
    for check in (check_chat_model, open_chat):
        with pytest.raises(InputError, match="this is a GGUF file") as caught:
            check(f"{scheme}:{file}")
        assert f"gguf:{file}" in caught.value.fix
    check_local_model(f"hf:{file}")  # as a base model it is converted
    with pytest.raises(InputError, match="there is no file"):
        check_local_model(f"gguf:{tmp_path}/other.gguf")


def test_a_name_within_a_folder_that_is_there_is_none_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    for check in (check_chat_model, check_local_model):
        with pytest.raises(InputError, match="there is no folder demo/student") as caught:
            check("hf:demo/student")
        assert caught.value.fix.endswith("takes a revision: demo/student@main")
        check("hf:demo/student@main")
        check("hf:other/student")
        with pytest.raises(InputError, match=r"there is no file demo/deep/student\.gguf"):
            check("gguf:demo/deep/student.gguf")
    with pytest.raises(ModelUnavailableError, match="there is no folder demo/student"):
        own_folder("demo/student", "hf:demo/student")
    assert own_folder("demo/student", "hf:demo/student@main", "main") is None
