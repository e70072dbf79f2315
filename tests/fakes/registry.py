"""A registry on a real socket that does what a test tells it to: a slow line, breaks, lies, doors.

It speaks enough of the OCI protocol for pulls and pushes. `Line` says how good the connection is,
`Lies` how far the registry can be trusted.
"""

import base64
import hashlib
import itertools
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import cast
from urllib.parse import parse_qs, urlsplit

from tests.builders import a_config, a_digest, a_layer, a_manifest
from tests.fakes.patient import PatientServer


@dataclass(frozen=True, slots=True)
class Line:
    """How good the connection is."""

    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    breaks_after: int = 0
    """About so many bytes of blobs pass before a connection is reset."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that it got."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class FakeRegistry:
    """What it holds and how it behaves, for a test to set; what it was asked, to read."""

    host: str = "127.0.0.1"
    port: int = 0
    line: Line = Line()
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    """The bytes of blobs that each request got."""
    has_ranges: bool = True
    login: str = ""
    """`user:password` that Basic wants."""
    identity: str = ""
    """The identity token for which `/token` gives the other."""
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    """What was sent to `/token` in bodies."""
    token: str = ""
    """The token that Bearer wants; `realm` gives it."""
    realm: str = ""
    storage: str = ""
    """Where blobs are redirected to; empty sends them from here."""
    answers: dict[str, Callable[["Talk"], None]] = field(default_factory=dict)
    """What to do instead for paths that start so."""
    uploads: dict[str, bytearray] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """The host as it stands in names of models."""
        return f"{self.host}:{self.port}"

    def add(self, path: str, weights: bytes, **texts: bytes) -> bytes:
        """Put the model `namespace/model:tag` here; return its manifest."""
        config = a_config()
        layers = [a_layer("model", weights), *(a_layer(kind, t) for kind, t in texts.items())]
        self.blobs |= {a_digest(each): each for each in (weights, config, *texts.values())}
        return self.add_manifest(path, a_manifest(*layers, config=config))

    def add_manifest(self, path: str, raw: bytes) -> bytes:
        self.manifests[path] = raw
        return raw

    @property
    def asked_for(self) -> int:
        """The bytes of blobs that ranges have asked for."""
        ranges = [each.removeprefix("bytes=").split("-") for each in self.headers_of("Range")]
        return sum(int(end) - int(begin) + 1 for begin, end in ranges)

    def headers_of(self, name: str) -> list[str]:
        """Return every value of a header that it ever got."""
        return [value for each in self.asked for key, value in each.headers.items() if key == name]


class Talk(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def registry(self) -> FakeRegistry:
        return cast("_Server", self.server).registry

    def do_GET(self) -> None:
        registry, url = self.registry, urlsplit(self.path)
        time.sleep(registry.line.delay_s)
        registry.asked.append(Asked(self.command, self.path, dict(self.headers)))
        for start, answer in registry.answers.items():
            if url.path.startswith(start):
                answer(self)
                return
        if url.path == "/token":
            self.say(json.dumps({"token": registry.token}).encode())
        elif self._is_open():
            self._serve(url.path)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _is_open(self) -> bool:
        registry = self.registry
        basic = f"Basic {base64.b64encode(registry.login.encode()).decode()}"
        wants = basic if registry.login else f"Bearer {registry.token}" if registry.token else ""
        if not wants or self.headers.get("Authorization") == wants:
            return True
        scope = 'service="fake",scope="repository:a/b:pull"'
        door = f'Bearer realm="{registry.realm}",{scope}' if registry.token else 'Basic realm="x"'
        self.say(b'{"errors":[{"message":"who are you"}]}', 401, {"WWW-Authenticate": door})
        return False

    def _serve(self, path: str) -> None:
        registry = self.registry
        _, _, rest = path.partition("/v2/")
        model, _, tag = rest.partition("/manifests/")
        digest = path.rpartition("/")[2]
        if tag and f"{model}:{tag}" in registry.manifests:
            self.say(registry.manifests[f"{model}:{tag}"])
        elif "/blobs/" in path and digest in registry.blobs:
            if registry.storage and not path.startswith("/storage"):
                place = {"Location": f"{registry.storage}/storage/blobs/{digest}"}
                self.say(b"", 307, place)
            else:
                self._send_blob(registry.blobs[digest])
        else:
            self.say(b"{}", 404)

    def _send_blob(self, blob: bytes) -> None:
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        if asked and self.registry.has_ranges:
            first, _, last = asked.partition("-")
            begin, end = int(first), int(last or len(blob) - 1)
            extent = {"Content-Range": f"bytes {begin}-{end}/{len(blob)}"}
            self._send(blob[begin : end + 1], 206, extent)
        else:
            self._send(blob, 200, {})

    def _send(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        """Send a body over the line as it is."""
        self._begin(status, {**headers, "Content-Length": str(len(body))})
        if self.command == "HEAD":
            return
        line = self.registry.line
        breaks_at = random.randint(0, 2 * line.breaks_after) if line.breaks_after else len(body)  # noqa: S311
        step = 1 << 16 if line.bytes_per_s else 1 << 20
        begin, sent = time.monotonic(), 0
        try:
            while sent < min(len(body), breaks_at):
                sent += self.wfile.write(body[sent : min(sent + step, breaks_at)])
                if line.bytes_per_s:
                    time.sleep(max(0, begin + sent / line.bytes_per_s - time.monotonic()))
        except OSError:
            self.close_connection = True
        self.registry.sent.append(sent)
        if sent < len(body):
            self.reset()

    def begin_blob(self, length: int) -> None:
        """Say that so many bytes will come."""
        self._begin(200, {"Content-Length": str(length)})

    def reset(self) -> None:
        """Break the connection off, as networks do."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def say(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a small body."""
        self._begin(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def say_endlessly(self, head: Mapping[str, str], piece: bytes, *, pause_s: float = 0) -> None:
        """Answer without an end, until the client has had enough."""
        self._begin(200, head)
        self.close_connection = True
        try:
            for _ in itertools.count():
                self.wfile.write(piece)
                time.sleep(pause_s)
        except OSError:
            pass

    def do_POST(self) -> None:
        self._take_in(self._begin_upload)

    def do_PATCH(self) -> None:
        self._take_in(self._add_part)

    def do_PUT(self) -> None:
        self._take_in(self._finish)

    def _take_in(self, act: Callable[[bytes], None]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.registry.asked.append(Asked(self.command, self.path, dict(self.headers)))
        if self.command == "POST" and self.path == "/token":
            self._refresh(parse_qs(body.decode()))
        elif self._is_open():
            act(body)

    def _refresh(self, form: dict[str, list[str]]) -> None:
        self.registry.forms.append(form)
        is_known = form.get("refresh_token") == [self.registry.identity]
        reply = {"access_token": self.registry.token} if is_known else {"error": "invalid_grant"}
        self.say(json.dumps(reply).encode(), 200 if is_known else 400)

    def _begin_upload(self, _body: bytes) -> None:
        number = str(len(self.registry.uploads))
        self.registry.uploads[number] = bytearray()
        self.say(b"", 202, {"Location": f"/v2/uploads/{number}?state=0"})

    def _add_part(self, body: bytes) -> None:
        number = urlsplit(self.path).path.rpartition("/")[2]
        if self.registry.storage:
            place = f"{self.registry.storage}/storage/uploads/{number}"
            own = f"{self.registry.url}/v2/uploads/{number}?state=1"
            self.say(b"", 307, {"Location": place, "Docker-Upload-Location": own})
            return
        self.registry.uploads[number] += body
        self.say(b"", 202, {"Location": f"/v2/uploads/{number}?state=1"})

    def _finish(self, body: bytes) -> None:
        url = urlsplit(self.path)
        number = url.path.rpartition("/")[2]
        if "/manifests/" in url.path:
            model, _, tag = url.path.removeprefix("/v2/").partition("/manifests/")
            self.registry.manifests[f"{model}:{tag}"] = body
        elif url.path.startswith("/storage"):
            self.registry.uploads[number] = bytearray(body)
        else:
            digest = parse_qs(url.query)["digest"][0]
            content = bytes(self.registry.uploads[number])
            assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.registry.blobs[digest] = content
        self.say(b"", 201)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(PatientServer):
    registry: FakeRegistry

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients leave when they have had enough."""


@contextmanager
def a_registry(host: str = "127.0.0.1", **behaviour: object) -> Iterator[FakeRegistry]:
    """Run a registry until the block ends."""
    server = _Server((host, 0), Talk)
    server.registry = FakeRegistry(host, server.server_address[1], **behaviour)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
