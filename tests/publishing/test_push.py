"""A run pushed to a stand-in for the Hub: one commit, which can be read back, and nothing in it that is nobody's."""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from evolvent.errors import EvolventError, InputError, RunError
from evolvent.publishing import card as card_module
from evolvent.publishing import push as push_module
from evolvent.publishing.configs import write_config
from evolvent.publishing.push import push
from evolvent.records import Record
from evolvent.runs.folder import RunFolder
from evolvent.runs.manifest import read_manifest, write_manifest
from evolvent.selection.select import select
from tests.publishing.hub import TOKEN, Hub, hub
from tests.report.page.runs import M, evolutions, whole_run, write

SECRET = "gguf:/home/me/secret/x.gguf"


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, and a client of it that is logged in; figures are not drawn."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    with hub() as held:
        monkeypatch.setattr(constants, "ENDPOINT", held.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(card_module, "find_spec", lambda _: None)
        disable_progress_bars()
        yield held
        enable_progress_bars()


def of(held: Hub, repo: str = "me/data") -> dict[str, bytes]:
    return {path: content for path, content in held.repos[repo].files.items() if path != ".gitattributes"}


def table(content: bytes) -> Any:
    return pq.read_table(io.BytesIO(content))


def test_one_commit_holds_the_card_and_a_file_a_stage(there: Hub, tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    select(folder, by="ifd", top=4, out=folder / "selected.jsonl")
    done = push(folder, repo="me/data", private=True)
    files = of(there)
    assert [path for path, _ in done.files] == list(files)
    assert list(files) == [
        "README.md",
        "data/selected/train.parquet",
        "data/evolved/train.parquet",
        "data/scored/train.parquet",
    ]
    assert there.repos["me/data"].private and len(there.repos["me/data"].commits) == 1
    assert done.url == f"{there.url}/datasets/me/data" and done.commit == there.repos["me/data"].head
    assert table(files["data/selected/train.parquet"]).num_rows == 4
    turns = table(files["data/selected/train.parquet"])["messages"][0].as_py()
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    evolved = table(files["data/evolved/train.parquet"])
    assert evolved.num_rows == 36 and evolved.equals(pq.read_table(folder / "evolved.parquet"))
    assert b'load_dataset("me/data", "selected", split="train")' in files["README.md"]


def made_anew(folder: Path) -> None:
    write(folder, "evolve", evolutions(["other"]), read="evolve")


def touched(folder: Path) -> None:
    (folder / "evolved.parquet").write_bytes((folder / "evolved.parquet").read_bytes())


@pytest.mark.parametrize("change", [made_anew, touched])
def test_a_run_that_is_changed_while_it_is_read_is_not_uploaded(
    there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    folder = whole_run(tmp_path / "run")

    def read_and_changed(*of: Any) -> None:
        write_config(*of)
        if not changed:
            changed.append(change(folder))

    changed: list[None] = []
    monkeypatch.setattr(push_module, "write_config", read_and_changed)
    with pytest.raises(InputError, match="was changed by another process while it was read: nothing was uploaded"):
        push(folder, repo="me/data")
    assert not there.repos


def test_the_same_again_is_nothing_to_do_and_another_is_not_overwritten(there: Hub, tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    push(folder, repo="me/data")
    again = push(folder, repo="me/data")
    assert again.already_done and again.commit is None and len(there.repos["me/data"].commits) == 1
    there.repos["me/data"].files |= {"LICENSE": b"mine", "data/gone/train.parquet": b"old"}
    with pytest.raises(InputError, match=r"me/data holds 5 files: .*\n.*--overwrite replaces"):
        push(folder, repo="me/data")
    push(folder, repo="me/data", license="mit", overwrite=True)
    files = of(there)
    assert b"license: mit" in files["README.md"] and files["LICENSE"] == b"mine"
    assert "data/gone/train.parquet" not in files and len(there.repos["me/data"].commits) == 2


def test_a_dry_run_says_the_same_and_asks_nobody(there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = whole_run(tmp_path / "run")
    monkeypatch.delenv("HF_TOKEN")
    planned = push(folder, repo="me/data", dry_run=True)
    assert there.asked == [] and planned.url is None
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert push(folder, repo="me/data").files == planned.files


def test_nothing_of_this_machine_goes_there(there: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    rows = evolutions(["one", "two"])
    for row in rows:
        row.evolver, row.status, row.reason = SECRET, "ok", None
    rows[1].status, rows[1].reason = "failed", "http://me:pass@10.0.0.5/v1 says /home/me/secret/log.txt"
    write(folder, "evolve", rows, seeds=2)
    write(folder, "respond", [Record("a", "s0", 0, "Mend it", output="Do", round=1, teacher=SECRET)])
    entries = read_manifest(folder)
    for entry in entries.values():
        entry.models = {SECRET: orjson.dumps({"weights": "a" * 64, "base_url": "http://10.0.0.5/v1"}).decode()}
        entry.input["source"] = "/home/me/secret/seeds.jsonl"
        entry.settings |= {"model": SECRET, "extra_body": {"api_key": "sk-12345678901234567890"}}
    write_manifest(folder, entries)
    select(folder / "responses.parquet", by="seed_index", top=1, out=folder / "selected.jsonl")
    push(folder, repo="me/data")
    for path, content in of(there).items():
        text = content + str(table(content).to_pylist()).encode() if path.endswith(".parquet") else content
        for word in (b"/home", b"secret", b"10.0.0.5", b"me:pass", b"sk-1234", TOKEN.encode(), str(tmp_path).encode()):
            assert word not in text, (path, word)
    evolved = table(of(there)["data/evolved/train.parquet"]).to_pylist()
    assert evolved[1]["evolver"] == "gguf:x.gguf" and evolved[1]["reason"] == "(left out) says log.txt"
    selected = table(of(there)["data/selected/train.parquet"]).to_pylist()
    assert orjson.loads(selected[0]["meta"])["teacher"] == "gguf:x.gguf"


def test_pairs_keep_their_turns(there: Hub, tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    write(folder, "respond", [Record("a", "s0", 0, "Mend it", output="Do", round=1, teacher=M)])
    entries = read_manifest(folder)
    entries["respond"].settings = {"method": "autoif"}
    write_manifest(folder, entries)
    turn = [{"role": "user", "content": "x"}]
    pair = {"prompt": turn, "chosen": turn, "rejected": turn, "meta": {"chosen_id": "1"}}
    (folder / "dpo.jsonl").write_bytes(orjson.dumps(pair) + b"\n")
    push(folder, repo="me/data")
    found = table(of(there)["data/dpo/train.parquet"]).to_pylist()
    assert found == [{**pair, "meta": '{"chosen_id":"1"}'}]


@pytest.mark.parametrize(
    ("repo", "words"),
    [("data", "it names no owner"), ("me/a b", "alphanumeric"), ("me/a/b", "namespace/repo_name"), ("", "alphanum")],
)
def test_a_name_that_no_repository_has(tmp_path: Path, repo: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"is no repository's name: .*{words}"):
        push(tmp_path, repo=repo)


def unfinished(folder: Path) -> None:
    with RunFolder(folder) as run:
        run.begin("respond", {"teacher": [M]}, {"digest": "b", "stage": "evolve", "rows": 1}, fresh=True)
        run.start("respond", {M: "weights"})


def stale(folder: Path) -> None:
    entries = read_manifest(folder)
    entries["score"].state = "stale"
    write_manifest(folder, entries)


def a_shard(folder: Path) -> None:
    entries = read_manifest(folder)
    entries["evolve"].state, entries["evolve"].whole = "shard", {"records": 2, "window": 1, "before": {}}
    write_manifest(folder, entries)


@pytest.mark.parametrize(
    ("spoil", "words", "command"),
    [
        (unfinished, "respond of .* was interrupted", "evolvent respond"),
        (stale, "score of .* is stale", "evolvent score"),
        (a_shard, "evolve of .* is a shard", "Merge the shards"),
        (lambda folder: (folder / "evolved.parquet").unlink(), "evolve of .* has lost its file", "evolvent evolve"),
        (
            lambda folder: (folder / "evolved.parquet").write_bytes((folder / "scored.parquet").read_bytes()),
            "evolve of .* it is damaged, or was changed since",
            "evolvent evolve",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_not_published(
    there: Hub, tmp_path: Path, spoil: Any, words: str, command: str
) -> None:
    folder = whole_run(tmp_path / "run")
    spoil(folder)
    with pytest.raises(InputError, match=rf"{words}.*\n.*{command}"):
        push(folder, repo="me/data")
    assert there.asked == []


@pytest.mark.parametrize(
    ("asked", "status", "error", "words"),
    [
        ("POST /api/repos/create", 403, InputError, "this token may not write to me/data: no rights"),
        ("POST /api/repos/create", 404, InputError, "finds no me/data, and cannot make it"),
        ("POST /api/validate-yaml", 400, InputError, "the Hub does not take the card"),
        ("PUT /objects", 413, EvolventError, "the Hub"),
        ("POST /api/datasets/me/data/commit", 412, RunError, "me/data was changed meanwhile"),
        ("POST /api/datasets/me/data/commit", 402, RunError, "more than the Hub takes: no rights"),
        ("POST /api/datasets/me/data/commit", 418, RunError, "the Hub answers 418"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    there: Hub, tmp_path: Path, asked: str, status: int, error: type[EvolventError], words: str
) -> None:
    there.refuse[asked] = status, "no rights"
    with pytest.raises(error, match=words) as raised:
        push(whole_run(tmp_path / "run"), repo="me/data")
    assert raised.value.fix and TOKEN not in str(raised.value)


def test_without_a_token_or_a_network(there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    folder = whole_run(tmp_path / "run")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(InputError, match="does not know this token"):
        push(folder, repo="me/data")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunError, match="the Hub cannot be reached"):
        push(folder, repo="me/data")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="while HF_HUB_OFFLINE is set"):
        push(folder, repo="me/data")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(InputError, match="wants a token"):
        push(folder, repo="me/data")


def test_private_is_promised_of_no_public_repository(there: Hub, tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    push(folder, repo="me/data")
    with pytest.raises(InputError, match="is there, and public"):
        push(folder, repo="me/data", private=True, overwrite=True)


def test_a_file_larger_than_the_hub_takes(there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "LARGEST", 100)
    with pytest.raises(InputError, match="the Hub takes files of 50 GB"):
        push(whole_run(tmp_path / "run"), repo="me/data")
    assert not there.repos  # nothing is made that stays empty


READ = """
import datasets
from huggingface_hub import DatasetCard, hf_hub_download
print(datasets.get_dataset_config_names("me/data"), len(datasets.load_dataset("me/data", split="train")))
print(len(datasets.load_dataset("me/data", "evolved", split="train")), DatasetCard.load("me/data").data.tags[0])
print(open(hf_hub_download("me/data", "figures/funnel.png", repo_type="dataset"), "rb").read(4))
"""


def test_as_typed_and_read_back_by_datasets(tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run")
    select(folder, by="ifd", top=4, out=folder / "selected.jsonl")
    with hub() as held:
        own = {"HF_ENDPOINT": held.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        own |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        own |= dict.fromkeys(("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"), "60")

        def run(*typed: str) -> str:
            command = [sys.executable, *typed]
            return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True).stdout

        said = run("-m", "evolvent", "push", str(folder), "--repo", "me/data")
        assert "to me/data, a new data set on the Hub" in said and f"uploaded: {held.url}/datasets/me/data" in said
        assert not [one for one in held.asked if "harness" in one]
        first, second, third = run("-c", READ).splitlines()
    assert first == "['selected', 'evolved', 'scored'] 4" and second == "36 synthetic" and third == r"b'\x89PNG'"


def test_what_was_pushed_is_read_by_its_url(there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    from evolvent.datasets.load import load

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix("https://huggingface.co")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", there.url + template)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = whole_run(tmp_path / "run")
    push(folder, repo="me/data", private=True)
    [path, *_] = [path for path in of(there) if path.endswith(".parquet")]
    assert len(load(f"hf://datasets/me/data/{path}")) == pq.read_metadata(io.BytesIO(of(there)[path])).num_rows
    with pytest.raises(InputError, match="There is no file hf://datasets/me/data/nothing"):
        load("hf://datasets/me/data/nothing.jsonl")
