"""Runs in a bucket of a real S3 server: shards on nodes that share no disk, and what is said of buckets that fail."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from benchmarks.measuring import free_port
from tests.e2e.command import evolvent, server
from tests.processes import Ended

SEEDS = 24
RUN = "s3://bucket/run"


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """The variables that lead to a server with one bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"), timeout=30).close()
                break
            except OSError:
                time.sleep(0.05)
        yield {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def store(bucket: dict[str, str]) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        endpoint_url=bucket["AWS_ENDPOINT_URL"], key="key", secret="secret", use_listings_cache=False
    )


def on(node: Path, bucket: dict[str, str], *words: str) -> Ended:
    """A command on a node of its own disk."""
    (node / "tmp").mkdir(parents=True, exist_ok=True)
    return evolvent(*words, folder=node, variables={**bucket, "OPENAI_API_KEY": "none", "TMPDIR": str(node / "tmp")})


def test_shards_in_a_bucket_are_made_and_merged_by_nodes_that_share_nothing(
    tmp_path: Path, bucket: dict[str, str], store: s3fs.S3FileSystem
) -> None:
    seeds = "".join(json.dumps({"instruction": f"How do I mend sock {n}?"}) + "\n" for n in range(SEEDS))
    store.pipe_file("bucket/seeds.jsonl", seeds.encode())
    with server() as url:
        model = f"openai:m?base_url={url}"
        evolve = ["evolve", "s3://bucket/seeds.jsonl", "--model", model, "--rounds", "1"]
        for number in ("1", "2"):
            made = on(tmp_path / f"node{number}", bucket, *evolve, "--out", RUN, "--shard", f"{number}/2")
            assert made.status == 0, made.errors
            shutil.rmtree(tmp_path / f"node{number}")
        merged = on(tmp_path / "node3", bucket, "merge", RUN)
        assert merged.status == 0 and merged.output.endswith(f"written: {RUN}/evolved.parquet\n"), merged
        whole = on(tmp_path / "node4", bucket, *evolve, "--out", "whole")
        assert whole.status == 0, whole.errors
    assert (
        store.cat_file("bucket/run/evolved.parquet") == (tmp_path / "node4" / "whole" / "evolved.parquet").read_bytes()
    )
    assert not any(name.endswith(".lease") for name in store.find("bucket/run"))
    shown = on(tmp_path / "node5", bucket, "show", RUN)
    assert f"{SEEDS} seeds" in shown.output, shown


def test_what_fails_is_said_of_the_bucket(tmp_path: Path, bucket: dict[str, str]) -> None:
    missing = on(tmp_path, bucket, "show", "s3://nobucket/run")
    assert (missing.status, missing.errors.splitlines()[0]) == (2, "error: s3://nobucket/run is not a run folder")
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "How do I mend a sock?"}\n')
    evolve = ["evolve", "seeds.jsonl", "--model", "embedded", "--rounds", "1", "--out", "s3://nobucket/run"]
    nowhere = on(tmp_path, bucket, *evolve)
    assert nowhere.status == 2 and "s3://nobucket/run cannot be saved" in nowhere.errors, nowhere
