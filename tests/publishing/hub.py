"""A stand-in for the Hub's API, as much as uploading a data set and reading it back needs, in a thread of its own.

Written by what huggingface_hub sends: create, validate-yaml, preupload, the LFS batch, commit, and the files.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
DATA_SET = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(\w[\w-]*))?(?:/([^/]+))?(?:/(.*))?")
RESOLVE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)")
LFS = (".parquet", ".png")


@dataclass
class Stored:
    """A repository: its files and commits."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.parquet filter=lfs\n"})
    commits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def head(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


@dataclass
class Hub:
    """What the stand-in holds, and what it was asked.

    Attributes:
        refuse: by the beginning of a request, the status and the words that it is answered with.
    """

    url: str = ""
    repos: dict[str, Stored] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)


@contextmanager
def hub() -> Iterator[Hub]:
    """The stand-in while the block lasts."""
    held = Hub()

    class Handler(_Handler):
        state = held

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: Any, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: int, words: str, code: str = "") -> None:
        self._answer({"error": words}, status, **{"X-Error-Message": words}, **({"X-Error-Code": code} if code else {}))

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = f"{self.command} {path}"
        self.state.asked.append(asked)
        for begins, (status, words) in self.state.refuse.items():
            if asked.startswith(begins):
                return self._refuse(status, words)
        if path.startswith("/objects/") and self.command == "PUT":
            self.state.objects[path.rpartition("/")[2]] = body
            return self._answer({})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if found := RESOLVE.fullmatch(path):
            return self._file(*found.groups())
        if found := DATA_SET.fullmatch(path):
            return self._data_set(*found.groups(), body)
        return self._refuse(404, f"{asked} is not known here")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != "me":
            return self._refuse(403, "You don't have the rights to create a dataset under this namespace")
        self.state.repos[repo] = Stored(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        return self._answer({"url": f"{self.state.url}/datasets/{repo}"})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.state.url}/objects/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self._answer({"transfer": "basic", "objects": objects})

    def _file(self, repo: str, _: str, path: str) -> None:
        stored = self.state.repos.get(repo)
        if stored is None or path not in stored.files:
            return self._refuse(404, "Entry not found", "EntryNotFound")
        content = stored.files[path]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        begin, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        part = content[int(begin) : int(end) + 1 if end else None] if begin else content
        return self._answer(part, 206 if begin else 200, ETag=etag, X_Repo_Commit=stored.head)

    def _data_set(self, repo: str, what: str | None, _: str | None, path: str | None, body: bytes) -> None:
        stored = self.state.repos.get(repo)
        if stored is None:
            return self._refuse(404, "Repository not found", "RepoNotFound")
        if what in (None, "revision"):
            siblings = [{"rfilename": path, **_about(path, content)} for path, content in stored.files.items()]
            about = {"id": repo, "sha": stored.head, "private": stored.private, "siblings": siblings, "tags": []}
            return self._answer({**about, "disabled": False, "gated": False, "downloads": 0, "likes": 0})
        if what == "preupload":
            files = [
                {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(LFS) else "regular"}
                for one in json.loads(body)["files"]
            ]
            return self._answer({"files": [{**one, "shouldIgnore": False} for one in files]})
        if what == "tree":
            return self._answer(_tree(stored.files, (path or "").strip("/"), recursive="recursive=" in self.path))
        if what == "paths-info":
            wanted = json.loads(body)["paths"]
            return self._answer([one for one in _tree(stored.files, "", recursive=True) if one["path"] in wanted])
        if what == "commit":
            return self._commit(repo, stored, [json.loads(line) for line in body.splitlines()])
        return self._refuse(404, f"{what} is not known here", "EntryNotFound")

    def _commit(self, repo: str, stored: Stored, lines: list[dict[str, Any]]) -> None:
        header, *operations = lines
        if header["value"].get("parentCommit") not in (None, stored.head):
            return self._refuse(412, "A commit has happened since. Please refresh and try again.")
        for one in operations:
            value = one["value"]
            if one["key"] == "file":
                stored.files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                stored.files[value["path"]] = self.state.objects[value["oid"]]
            else:
                del stored.files[value["path"]]
        stored.commits.append({"header": header["value"], "operations": operations})
        return self._answer({"commitUrl": f"{self.state.url}/{repo}/commit/1", "commitOid": stored.head})


def _about(path: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"size": len(content)}
    found["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if path.endswith(LFS):
        found["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found


def _tree(files: dict[str, bytes], below: str, *, recursive: bool) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, content in files.items():
        if below and not path.startswith(f"{below}/"):
            continue
        rest = path.removeprefix(f"{below}/" if below else "").split("/")
        for depth in range(1, len(rest)):
            folder = "/".join([*([below] if below else []), *rest[:depth]])
            if recursive or depth == 1:
                found[folder] = {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
        if recursive or len(rest) == 1:
            about = _about(path, content)
            lfs = {"oid": about["lfs"]["sha256"], **about["lfs"]} if "lfs" in about else None
            found[path] = {"type": "file", "path": path, "oid": about["blobId"], "size": about["size"]}
            found[path] |= {"lfs": lfs} if lfs else {}
    return list(found.values())
