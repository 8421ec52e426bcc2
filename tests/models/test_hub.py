"""A model on the Hugging Face Hub: only its files are asked for, and nothing once a commit of it is here.

The Hub is a server of the test's own, and the models are loaded in processes of their own: the Hub's libraries read
their settings when they are imported.
"""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evolvent import hub as hub_settings
from tests.models.tiny_llama import save_tiny_llama

COMMIT = "ab" * 20
SETTINGS = {"HF_HUB_OFFLINE", "DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_TOKEN", *hub_settings.SETTINGS}
# Loads the revision of each line in a process of its own, which is forked when everything is imported and nothing done.
LOAD = """
import json, os, sys
from evolvent.models.hf.loading import load_weights
from transformers import AutoTokenizer, LlamaForCausalLM
for line in iter(sys.stdin.readline, ""):
    if os.fork() == 0:
        print(json.loads(load_weights(sys.argv[1], uri="hf:x", revision=line.strip() or None).identity)["weights"])
        break
    os.wait()
"""


class Hub:
    """A Hub with one model, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                asked.append(self.path)
                model, _, rest = self.path.partition("/resolve/")
                file = folder / rest.partition("/")[2].partition("?")[0]
                content = file.read_bytes() if model == "/org/tiny" and rest and file.is_file() else None
                self.send_response(404 if content is None else 200)
                self.send_header("X-Repo-Commit", COMMIT)
                if content is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                else:
                    self.send_header("ETag", hashlib.sha1(content).hexdigest())
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if content and self.command == "GET":
                    self.wfile.write(content)

            do_GET = do_HEAD  # noqa: N815

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(save_tiny_llama(tmp_path_factory.mktemp("model")))
    threading.Thread(target=hub.server.serve_forever, daemon=True).start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def environment(hub: Hub, home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    return kept | {"HF_HOME": str(home), "HF_ENDPOINT": f"http://127.0.0.1:{hub.server.server_port}"}


def test_files_are_asked_for_and_nothing_once_a_commit_is_cached(hub: Hub, tmp_path: Path) -> None:
    loader = subprocess.Popen(
        [sys.executable, "-uc", LOAD, "org/tiny"],
        env=environment(hub, tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def load(revision: str) -> list[str]:
        assert loader.stdin is not None and loader.stdout is not None
        hub.asked.clear()
        loader.stdin.write(f"{revision}\n")
        loader.stdin.flush()
        assert loader.stdout.readline().strip() == COMMIT
        return list(hub.asked)

    with loader:
        check(load, tmp_path)


def check(load: Callable[[str], list[str]], tmp_path: Path) -> None:
    first = load("")
    assert "/org/tiny/resolve/main/config.json" in first  # what commit that is
    assert f"/org/tiny/resolve/{COMMIT}/model.safetensors" in first
    assert [path for path in first if "tiny" not in path] == []  # no reports, no registries
    assert load("") == ["/org/tiny/resolve/main/config.json"]
    assert load(COMMIT) == []
    (weights,) = tmp_path.glob(f"hub/models--org--tiny/snapshots/{COMMIT}/model.safetensors")
    weights.unlink()
    assert f"/org/tiny/resolve/{COMMIT}/model.safetensors" in load(COMMIT)


DATA = """
from evolvent.datasets.sources import open_source
from evolvent.errors import InputError
try:
    open_source("org/data")
except InputError:
    from datasets import config
    from huggingface_hub import constants
    print(config.HF_UPDATE_DOWNLOAD_COUNTS, constants.HF_HUB_DISABLE_TELEMETRY)
"""


@pytest.mark.parametrize(("own", "found"), [({}, "False True"), ({"HF_HUB_DISABLE_TELEMETRY": "0"}, "False False")])
def test_data_sets_are_loaded_without_reports_unless_the_user_wants_them(
    hub: Hub, tmp_path: Path, own: dict[str, str], found: str
) -> None:
    hub.asked.clear()
    command = [sys.executable, "-c", DATA]
    done = subprocess.run(command, env=environment(hub, tmp_path) | own, capture_output=True, text=True)
    assert done.stdout.strip() == found, done.stderr
    assert any("org/data" in path for path in hub.asked)
    assert own or [path for path in hub.asked if "org/data" not in path] == []
