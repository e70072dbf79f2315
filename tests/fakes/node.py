"""A node that says what a test tells it to: a real HTTP server on a socket, without a model."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import cast

from tests.fakes.patient import PatientServer

MODEL = "smollm2:135m"
DIGEST = "5f1c" + "0" * 60


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the node got."""

    method: str
    path: str
    body: Mapping[str, object]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Canned:
    """A whole reply, instead of the usual one."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def an_error(text: str, status: int, **headers: str) -> Canned:
    """An error as Ollama words it."""
    return Canned(json.dumps({"error": text}).encode(), status, headers)


def a_tag(name: str = MODEL, **changes: object) -> dict[str, object]:
    """An entry of `/api/tags`."""
    entry = {
        "name": name,
        "model": name,
        "modified_at": "2026-08-01T10:30:00.123456789+02:00",
        "size": 98_362_432,
        "digest": DIGEST,
        "details": {"family": "llama", "parameter_size": "135M", "quantization_level": "Q4_1"},
    }
    return entry | changes


def a_running(name: str = MODEL, **changes: object) -> dict[str, object]:
    """An entry of `/api/ps`."""
    return (
        a_tag(name)
        | {
            "size": 310_000_000,
            "size_vram": 0,
            "expires_at": "2026-08-01T10:05:00Z",
            "context_length": 8192,
            "processor": "CPU, 2 threads",
            "slots": 4,
        }
        | changes
    )


def a_card(**changes: object) -> dict[str, object]:
    """A reply of `/api/show`."""
    card = {
        "license": "",
        "modelfile": "FROM smollm2\n",
        "parameters": f'{"temperature":<30} 0.7\n{"stop":<30} "<|im_end|>"',
        "template": "{{ .Prompt }}",
        "system": "",
        "details": {"family": "llama", "parameter_size": "135M", "quantization_level": "Q4_1"},
        "model_info": {
            "general.architecture": "llama",
            "llama.context_length": 8192,
            "llama.embedding_length": 576,
        },
        "capabilities": ["completion"],
    }
    return card | changes


FIGURES = {
    "total_duration": 1_500_000_000,
    "load_duration": 40_000_000,
    "prompt_eval_count": 12,
    "prompt_eval_duration": 60_000_000,
    "eval_count": 80,
    "eval_duration": 1_250_000_000,
}


@dataclass(slots=True)
class FakeNode:
    """What the node says, for a test to set, and what it was asked, for a test to read."""

    port: int = 0
    greeting: bytes = b"Ollama is running"
    version: dict[str, object] = field(
        default_factory=lambda: {"version": "0.32.15", "puna": "0.1.0"}
    )
    tags: list[dict[str, object]] = field(default_factory=lambda: [a_tag()])
    running: list[dict[str, object]] = field(default_factory=lambda: [a_running()])
    card: dict[str, object] = field(default_factory=a_card)
    scores: dict[str, object] = field(default_factory=dict)
    vectors: dict[str, object] = field(
        default_factory=lambda: {"embeddings": [[0.6, -0.8]], "prompt_eval_count": 4}
    )
    pieces: list[dict[str, object]] = field(
        default_factory=lambda: [{"text": "A bun "}, {"text": "and meat."}]
    )
    final: dict[str, object] = field(default_factory=lambda: dict(FIGURES))
    canned: dict[str, Canned] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    hold: threading.Event | None = None
    """While it is not set, an answer stops after its first piece."""
    pieces_seen: threading.Event = field(default_factory=threading.Event)
    client_left: threading.Event = field(default_factory=threading.Event)

    def bodies(self, path: str) -> list[Mapping[str, object]]:
        """The bodies of the requests to one path."""
        return [item.body for item in self.asked if item.path == path]

    def names(self) -> set[object]:
        """The names that the node knows."""
        return {entry["name"] for entry in self.tags}

    def environ(self) -> dict[str, str]:
        """The environment in which a command finds this node."""
        return {"PUNA_HOST": f"127.0.0.1:{self.port}"}


@contextmanager
def running_node() -> Iterator[FakeNode]:
    """Run a node until the block ends."""
    node = FakeNode()

    class Handler(_Handler):
        pass

    Handler.node = node
    with PatientServer(("127.0.0.1", 0), Handler) as server:
        node.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield node
        finally:
            if node.hold is not None:
                node.hold.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    node: FakeNode

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the class has
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = cast("dict[str, object]", json.loads(raw) if raw else {})
        node = self.node
        node.asked.append(Asked(self.command, self.path, body, dict(self.headers)))
        if self.path in node.canned:
            self._send(node.canned[self.path])
        elif self.path in {"/api/generate", "/api/chat"}:
            self._generate(body)
        else:
            self._send(self._usual(body))

    def _usual(self, body: Mapping[str, object]) -> Canned:
        node = self.node
        if self.path == "/api/create":
            return Canned(b'{"status":"success"}')
        name = body.get("model") or body.get("source")
        if name is not None and name not in node.names() and f"{name}:latest" not in node.names():
            return an_error(f"model '{name}' not found", 404)
        replies: dict[str, object] = {
            "/api/version": node.version,
            "/api/tags": {"models": node.tags},
            "/api/ps": {"models": node.running},
            "/api/show": node.card,
            "/api/embed": node.vectors,
            "/api/score": node.scores,
        }
        if self.path == "/":
            return Canned(node.greeting)
        if self.path in {"/api/copy", "/api/delete"}:
            return Canned(b"")
        if self.path in replies:
            return Canned(json.dumps(replies[self.path]).encode())
        return Canned(b"404 page not found", 404)

    def _generate(self, body: Mapping[str, object]) -> None:
        if body.get("model") not in self.node.names():
            self._send(an_error(f"model '{body.get('model')}' not found", 404))
        elif not body.get("prompt") and not body.get("messages"):
            self._send(Canned(b'{"done":true,"done_reason":"load"}'))
        else:
            self._stream()

    def _stream(self) -> None:
        node = self.node
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        try:
            for piece in node.pieces:
                self._line(self._chunk(piece) | {"done": False} | _extra(piece))
                node.pieces_seen.set()
                self._wait()
            self._line(self._chunk({}) | {"done": True, "done_reason": "stop"} | node.final)
        except OSError:
            node.client_left.set()

    def _wait(self) -> None:
        hold = self.node.hold
        while hold is not None and not hold.wait(0.02):
            self.wfile.write(b"\n")  # notices a client that has left
            self.wfile.flush()

    def _chunk(self, piece: Mapping[str, object]) -> dict[str, object]:
        said = {name: piece[name] for name in ("thinking", "tool_calls") if name in piece}
        text = piece.get("text", "")
        if self.path == "/api/generate":
            return {"model": MODEL, "response": text} | said
        return {"model": MODEL, "message": {"role": "assistant", "content": text} | said}

    def _line(self, value: object) -> None:
        self.wfile.write(json.dumps(value).encode() + b"\n")
        self.wfile.flush()

    def _send(self, reply: Canned) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)


def _extra(piece: Mapping[str, object]) -> dict[str, object]:
    return {"error": piece["error"]} if "error" in piece else {}
