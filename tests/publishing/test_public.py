"""What of a run everybody may see: no folders, no addresses, no keys."""

from pathlib import Path

import orjson
import pytest

from evolvent.publishing.public import LEFT_OUT, public, source_name
from evolvent.runs.manifest import StageEntry

LOCAL, OTHER = "gguf:/home/me/models/x.gguf", "gguf:/mnt/x.gguf"
SERVER = "openai:org/model?base_url=http://10.0.0.5:8000/v1"
KEYS = (
    "sk-abcdefghijklmnopqrst",
    "sk-ant-api03-abcdefghijklmnop_qrst",
    "hf_abcdefghijklmnopqrst",
    "gsk_abcdefghijklmnopqrst",
    "xai-abcdefghijklmnopqrst",
    "ghp_abcdefghijklmnopqrst",
    "glpat-abcdefghijklmnopqrst",
    "nvapi-abcdefghijklmnopqrst",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "AIzaSyabcdefghijklmnopqrstuvwxyz01234",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF-ghi_123",
)
FOLDER, ON_HUB = "hf:models/mine", "hf:org/mine"


def entry(**fields: object) -> StageEntry:
    models = {uri: orjson.dumps({"backend": "gguf", "weights": "a" * 64}).decode() for uri in (LOCAL, OTHER, FOLDER)}
    models[ON_HUB] = orjson.dumps({"backend": "hf", "weights": "b" * 40}).decode()
    models[SERVER] = orjson.dumps({"base_url": "http://10.0.0.5:8000/v1", "extra_body": {"api_key": "k"}}).decode()
    given = {"settings": {}, "input": {"digest": "d", "source": "/home/me/seeds.jsonl"}, "models": models, **fields}
    return StageEntry(**given)  # type: ignore[arg-type]


def test_models_have_their_last_names_and_are_told_apart() -> None:
    names = public([entry()]).names
    assert names[LOCAL] == "gguf:x.gguf" and names[OTHER] == "gguf:x.gguf #2"
    assert names[SERVER] == "openai:org/model"
    assert names[FOLDER] == "hf:mine" and names[ON_HUB] == "hf:org/mine"


def test_a_model_that_no_manifest_knows_has_its_last_name() -> None:
    seen = public([entry()])
    assert seen.model("hf:/srv/weights/teacher?dtype=float32") == "hf:teacher?dtype=float32"
    assert seen.model("/not a uri/at all") == "at all" and seen.model("embedded") == "embedded"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("openai:/srv/models/llama-8b?base_url=http://h:1/v1", "openai:llama-8b"),  # what vLLM calls a model by a path
        ("openai:./llama-8b?base_url=http://h:1/v1", "openai:llama-8b"),
        ("openai:~/models/mine/llama-8b?base_url=http://h:1/v1", "openai:llama-8b"),
        ("openai:a/b/c?base_url=http://h:1/v1", "openai:c"),
        ("openai:org/model?base_url=http://h:1/v1&base_url=http://i:1/v1", "openai:org/model"),
        ("openai:gpt-4o-mini", "openai:gpt-4o-mini"),
        ("vllm:/srv/models/llama-8b?dtype=float16", "vllm:llama-8b?dtype=float16"),
    ],
)
def test_a_model_that_is_served_by_a_path_has_its_last_name(uri: str, name: str) -> None:
    assert public([entry(models={uri: "{}"})]).names[uri] == name


@pytest.mark.parametrize(
    "field",
    [
        "api_key",
        "apikey",
        "api-key",
        "key",
        "x_key",
        "client_secret",
        "password",
        "passwd",
        "Authorization",
        "auth",
        "hf_token",
        "cookie",
    ],
)
def test_what_a_field_of_this_name_holds_is_left_out(field: str) -> None:
    assert public([entry()]).value({"a": [{field: "k"}], field: ""}) == {"a": [{field: LEFT_OUT}], field: ""}


@pytest.mark.parametrize("field", ["max_tokens", "top_k", "monkey", "author", "key_frames", "tokens"])
def test_what_another_field_holds_is_shown(field: str) -> None:
    assert public([entry()]).value({field: 3}) == {field: 3}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"scores by {LOCAL}, paper", "scores by gguf:x.gguf, paper"),
        ("read /home/me/secret/prompts.txt and a/b", "read prompts.txt and a/b"),
        ("~/data/x.jsonl", "x.jsonl"),
        ("http://user:pass@10.0.0.5:8000/v1 answered 500", f"{LEFT_OUT} answered 500"),
        ("Authorization: Bearer abc.def", f"Authorization: {LEFT_OUT}"),
        ("the key sk-proj-abcdefghijklmnop1234 is wrong", f"the key {LEFT_OUT} is wrong"),
        ("50 km/h, and/or </think>", "50 km/h, and/or </think>"),
        # host and port, with and without a scheme
        ("node7.cluster.local:8000 refused it", f"{LEFT_OUT} refused it"),
        ("10.0.0.5:8000 and 10.0.0.5", f"{LEFT_OUT} and {LEFT_OUT}"),
        ("ws://localhost:8000/v1, say", f"{LEFT_OUT} say"),
        ("localhost:8000 refused it", f"{LEFT_OUT} refused it"),
        ("[fe80::1]:8000 refused it", f"{LEFT_OUT} refused it"),
        ("Cannot connect to host gpu-7:8000 ssl:default", f"Cannot connect to host {LEFT_OUT} ssl:default"),
        ("cut at 10:30, ratio 3:2, x:y, a[1:2]", "cut at 10:30, ratio 3:2, x:y, a[1:2]"),
        ("version 1.2.3 of line 7: 40", "version 1.2.3 of line 7: 40"),
        ("[fe80::1] and LOCALHOST:80", f"{LEFT_OUT} and {LEFT_OUT}"),
        *(
            (text, text)
            for text in (
                "gpt-4o:2024, gpt-4.1-mini:99999",
                "seed:12345 in year:2024, Genesis:1234",
                "qwen2.5:7000",
                "x[::2], at [12:30:45]",
                "hf-internal-testing-tiny-random-bert",
            )
        ),
        # keys, in the forms of those who give them out
        *((f"with {key}: refused", f"with {LEFT_OUT}: refused") for key in KEYS),
        ("bearer   abc", LEFT_OUT),
        ("sk-short, hf_short and task-oriented", "sk-short, hf_short and task-oriented"),
    ],
)
def test_texts_of_ours_hold_no_folders_addresses_or_keys(text: str, seen: str) -> None:
    assert public([entry()]).text(text) == seen


def test_an_entry_says_how_to_make_it_again_and_no_more() -> None:
    body = {"api_key": "k", "max_tokens": 3, "user_token": "t", "headers": {"authorization": "x"}}
    settings = {
        "model": LOCAL,
        "extra_body": body,
        "decontaminate": [{"file": "../tests/g.jsonl", "sha256": "0"}],
        f"scores by {LOCAL}, paper": ["ifd"],
    }
    paid = {LOCAL: {"calls": 1, "prompt_tokens": 1, "completion_tokens": 1, "cost": 3.0}}
    one = entry(settings=settings, paid=paid, counts={"groups": {LOCAL: {"ok": 1}}})
    seen = public([one]).entry(one)
    assert seen.settings["extra_body"] == {
        "api_key": LEFT_OUT,
        "max_tokens": 3,
        "user_token": LEFT_OUT,
        "headers": {"authorization": LEFT_OUT},
    }
    assert seen.settings["decontaminate"] == [{"file": "g.jsonl", "sha256": "0"}]
    assert seen.settings["scores by gguf:x.gguf, paper"] == ["ifd"] and seen.input["source"] == "seeds.jsonl"
    assert seen.counts == {"groups": {"gguf:x.gguf": {"ok": 1}}} and not seen.paid
    text = repr(seen)
    assert "/home" not in text and "10.0.0.5" not in text and "/mnt" not in text


def test_where_data_came_from(tmp_path: Path) -> None:
    assert source_name("tatsu-lab/alpaca:train") == "tatsu-lab/alpaca:train"
    assert source_name("secret/seeds.jsonl") == "seeds.jsonl" and source_name(str(tmp_path)) == tmp_path.name
    assert source_name("the list") == "the list"
