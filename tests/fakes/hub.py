"""A Hugging Face hub in process: a real server on a socket, and its CDN on another port.

It speaks what puna and `huggingface_hub` ask for: the search, a repository's facts and files, and
the files themselves, which it sends to the CDN by a redirect, as the real one does.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.builders import a_digest
from tests.fakes.patient import PatientServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, slots=True)
class Heard:
    """One request: on which of the two servers, and what it carried."""

    server: str
    method: str
    path: str
    token: str
    range: str


@dataclass(slots=True)
class FakeHub:
    """What the hub has, for a test to set, and what it heard, for a test to read."""

    port: int = 0
    cdn_port: int = 0
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    """Repositories that want a token whose owner has accepted the licence."""
    accepted: set[str] = field(default_factory=set)
    """Tokens whose owners have."""
    search: object = field(default_factory=list)
    swapped: dict[str, bytes] = field(default_factory=dict)
    """Files of which the CDN sends other bytes than the hub has announced."""
    facts: object = None
    """What the hub says of every repository, if anything else than the truth."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Old names of repositories, and their new ones."""
    page: int = 1000
    """Files on one page of a list."""
    next_page: str = ""
    """Where the next page is said to be, if not where it is."""
    heard: list[Heard] = field(default_factory=list)
    cut_at: int = 0
    """After so many bytes the CDN drops the first download that is longer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self, **more: str) -> dict[str, str]:
        """The environment in which puna finds this hub."""
        return {"HF_ENDPOINT": self.url, **more}

    def on(self, server: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.server == server]


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """Run a hub and its CDN until the block ends."""
    hub = FakeHub()

    class Site(_Site):
        pass

    class Cdn(_Cdn):
        pass

    Site.hub = Cdn.hub = hub
    with (
        PatientServer(("127.0.0.1", 0), Site) as site,
        PatientServer(("127.0.0.1", 0), Cdn) as cdn,
    ):
        hub.port, hub.cdn_port = site.server_port, cdn.server_port
        threads = [
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.01})
            for each in (site, cdn)
        ]
        for thread in threads:
            thread.start()
        try:
            yield hub
        finally:
            for each in (site, cdn):
                each.shutdown()
            for thread in threads:
                thread.join()


class _Both(BaseHTTPRequestHandler):
    hub: FakeHub
    name = ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the class has
        """Say nothing."""

    def handle(self) -> None:
        """Answer; a client that has left is no error."""
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        self._hear()

    def do_GET(self) -> None:
        self._hear()

    def _hear(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        heard = Heard(self.name, self.command, self.path, token, self.headers.get("Range", ""))
        self.hub.heard.append(heard)
        self.answer(heard)

    def answer(self, heard: Heard) -> None:
        raise NotImplementedError

    def send(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Site(_Both):
    name = "site"

    def answer(self, heard: Heard) -> None:
        url = urlsplit(heard.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts == ["api", "models"]:
            self._json(self.hub.search)
            return
        if parts[:1] == ["v2"]:
            error = {"errors": [{"code": "INVALID", "message": "sharded GGUF"}]}
            self.send(400, json.dumps(error).encode())
            return
        is_api = parts[:2] == ["api", "models"]
        parts = parts[2:] if is_api else parts
        repository, rest = "/".join(parts[:2]), parts[2:]
        files = self.hub.repositories.get(repository)
        if new := self.hub.renamed.get(repository):
            self.send(307, headers={"Location": heard.path.replace(repository, new)})
        elif files is None:
            self._refuse(401, "RepoNotFound", "Invalid username or password.")
        elif repository in self.hub.gated and rest[:1] == ["resolve"] and not self._may(heard):
            status = 403 if heard.token else 401
            words = f"Access to model {repository} is restricted."
            self._refuse(status, "GatedRepo", words)
        elif rest[:1] == ["resolve"]:
            self._resolve(repository, files, "/".join(rest[2:]))
        elif rest[:1] == ["tree"]:
            self._page(files, url.path, int(parse_qs(url.query).get("cursor", ["0"])[0]))
        else:
            facts = self.hub.facts
            self._json(self._facts(repository, files) if facts is None else facts)

    def _page(self, files: Mapping[str, bytes], path: str, start: int) -> None:
        entries = [_entry(*file) for file in files.items()]
        end = start + self.hub.page
        following = self.hub.next_page or f"{self.hub.url}{path}?recursive=true&cursor={end}"
        link = {"Link": f'<{following}>; rel="next"'} if end < len(entries) else {}
        self.send(200, json.dumps(entries[start:end]).encode(), link)

    def _may(self, heard: Heard) -> bool:
        return heard.token in self.hub.accepted

    def _facts(self, repository: str, files: Mapping[str, bytes]) -> object:
        return {
            "_id": "1",
            "id": repository,
            "modelId": repository,
            "sha": COMMIT,
            "private": False,
            "gated": "manual" if repository in self.hub.gated else False,
            "tags": ["gguf", "license:apache-2.0"],
            "siblings": [
                {"rfilename": path, **_blob(path, content)} for path, content in files.items()
            ],
        }

    def _resolve(self, repository: str, files: Mapping[str, bytes], path: str) -> None:
        content = files.get(path)
        if content is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        digest = a_digest(content).removeprefix("sha256:")
        self.send(
            302,
            headers={
                "Location": f"http://127.0.0.1:{self.hub.cdn_port}/{repository}/{quote(path)}",
                "X-Repo-Commit": COMMIT,
                "X-Linked-ETag": f'"{digest}"',
                "X-Linked-Size": str(len(content)),
                "ETag": f'"{digest}"',
            },
        )

    def _json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, words: str) -> None:
        body = json.dumps({"error": words}).encode()
        self.send(status, body, {"X-Error-Code": code, "X-Error-Message": words})


class _Cdn(_Both):
    name = "cdn"

    def answer(self, heard: Heard) -> None:
        parts = [unquote(part) for part in heard.path.strip("/").split("/")]
        path = "/".join(parts[2:])
        content = self.hub.swapped.get(path) or self.hub.repositories["/".join(parts[:2])][path]
        start = int(heard.range.removeprefix("bytes=").partition("-")[0]) if heard.range else 0
        end = heard.range.partition("-")[2]
        part = content[start : int(end) + 1 if end else None]
        headers = {"Content-Length": str(len(part)), "Accept-Ranges": "bytes"}
        if heard.range:
            headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        if self.command == "GET" and 0 < self.hub.cut_at < len(part):
            part, self.hub.cut_at = part[: self.hub.cut_at], 0
            self.close_connection = True
        self.send(206 if heard.range else 200, part, headers)


def _entry(path: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": path, "oid": "f" * 40, **_blob(path, content)}


def _blob(path: str, content: bytes) -> dict[str, object]:
    if not path.endswith((".gguf", ".safetensors")):
        return {"size": len(content), "blobId": "f" * 40}
    digest = a_digest(content).removeprefix("sha256:")
    lfs = {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 134}
    return {"size": len(content), "blobId": "f" * 40, "lfs": lfs}


def a_search_row(
    name: str = "speakleash/Bielik-11B-v3.0-Instruct-GGUF", **changes: object
) -> dict[str, object]:
    """A repository as the hub's search lists it."""
    row = {
        "id": name,
        "downloads": 12_345,
        "likes": 67,
        "gated": False,
        "gguf": {"total": 11_168_796_672, "architecture": "llama", "context_length": 32768},
        "tags": ["gguf", "pl", "license:apache-2.0"],
    }
    return row | changes
