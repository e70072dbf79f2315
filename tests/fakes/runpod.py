"""A cloud that speaks RunPod's REST version 2 and nothing of puna's; it refuses what it must."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.patient import PatientServer

KEY = "rpa_TEST"
CARDS = [
    {
        "id": "NVIDIA GeForce RTX 4090",
        "name": "RTX 4090",
        "pool": "ADA_24",
        "manufacturer": "NVIDIA",
        "memory": 24,
        "secure": True,
        "community": True,
        "price": {"secure": 0.69, "community": 0.34},
        "maxCount": {"secure": 8, "community": 4},
        "availability": "HIGH",
    },
    {
        "id": "NVIDIA H100 80GB HBM3",
        "name": "H100 SXM",
        "pool": "ADA_80_PRO",
        "manufacturer": "NVIDIA",
        "memory": 80,
        "secure": True,
        "community": False,
        "price": {"secure": 2.69, "community": None},
        "maxCount": {"secure": 8, "community": 0},
        "availability": "LOW",
    },
]
KNOWN = frozenset(
    (
        *("name", "image", "templateId", "gpu", "cpu", "cloud", "dataCenterIds", "mounts"),
        *("globalNetworking", "startSsh", "startJupyter", "args", "disk", "env", "ports"),
        "registry",
    )
)
AFTER = {"start": "RUNNING", "restart": "RUNNING", "stop": "EXITED"}


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


@dataclass
class FakeRunPod:
    """What the cloud knows, and what it does next in place of answering well."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[tuple[int, dict[str, str], object]] = field(default_factory=list)
    """Status, headers and body of the next answers, whatever is asked."""
    born: str = "RUNNING"
    """The status of a pod that was just made."""
    drops: int = 0
    """How many requests are cut off without an answer."""
    keys: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=lambda: ["one", "two"])

    def fail(self, status: int, body: object = None, **headers: str) -> None:
        self.failures.append((status, headers, body))

    @property
    def paths(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.asked]

    def answer(self, asked: Asked) -> tuple[int, object]:
        parts = asked.path.strip("/").split("/")
        if parts[1] == "catalog":
            return self._catalog(parts[2])
        if parts[1] == "account":
            if asked.method == "PUT":
                self.keys = asked.body["keys"]
            return 200, {"keys": self.keys}
        if parts[1] == "templates":
            return 200, {"templates": []}
        if parts[1] == "billing":
            return self._bill(by_pod=len(parts) > 2)
        if parts[1] == "pods":
            return self._pods(asked, parts[2:])
        return 404, {"title": "Not Found", "status": 404, "detail": "not found"}

    def _catalog(self, what: str) -> tuple[int, object]:
        if what == "gpus":
            return 200, {"gpus": CARDS}
        template = {"id": "runpod-torch", "name": "PyTorch", "image": "torch:1", "disk": 40}
        return 200, {"templates": [template | {"ports": ["8888/http"]}]}

    def _bill(self, *, by_pod: bool) -> tuple[int, object]:
        records = [
            {"startTime": "2026-07-31T00:00:00Z", "totalAmount": 1.25},
            {"startTime": "2026-08-01T00:00:00Z", "totalAmount": 0.000001},
        ]
        if by_pod:
            records = [{**each, "podId": "pod1"} for each in records]
        return 200, {"records": records, "metadata": {}}

    def _pods(self, asked: Asked, rest: list[str]) -> tuple[int, object]:
        if not rest and asked.method == "GET":
            return 200, {"pods": list(self.pods.values())}
        if not rest:
            return self._make(asked.body)
        pod = self.pods.get(rest[0])
        if pod is None:
            return 404, {"title": "Not Found", "status": 404, "detail": "pod not found"}
        if asked.method == "DELETE":
            del self.pods[rest[0]]
            return 204, None
        if rest[1:] == ["action"]:
            pod["status"] = AFTER[asked.body["action"]]
            pod["cost"] = 0.69 if pod["status"] == "RUNNING" else 0
        return 200, pod

    def _make(self, body: dict[str, Any]) -> tuple[int, object]:
        if unknown := sorted(set(body) - KNOWN):
            errors = [f"$: additional properties '{name}' not allowed" for name in unknown]
            detail = "Request validation failed."
            return 422, {"title": "x", "status": 422, "detail": detail, "errors": errors}
        number = f"pod{len(self.pods) + 1}"
        self.pods[number] = {
            "id": number,
            "name": body["name"],
            "status": self.born,
            "actions": ["stop", "restart", "terminate"],
            "image": body.get("image", ""),
            "gpu": body.get("gpu"),
            "ports": body.get("ports", []),
            "cost": 0.69,
            "createdAt": "2026-08-01T09:00:00Z",
            "ssh": {"direct": {"host": "203.0.113.7", "port": 17740, "username": "root"}},
        }
        return 201, self.pods[number]


class Door(BaseHTTPRequestHandler):
    """Reads a request and answers as the cloud says."""

    protocol_version = "HTTP/1.1"
    cloud: FakeRunPod

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        place = urlsplit(self.path)
        query = {name: each[0] for name, each in parse_qs(place.query).items()}
        body = json.loads(content) if content else None
        asked = Asked(self.command, place.path, query, body)
        self.cloud.asked.append(asked)
        self.close_connection = True
        if self.cloud.drops:
            self.cloud.drops -= 1
            self.connection.close()
        elif self.cloud.failures:
            status, headers, told = self.cloud.failures.pop(0)
            self.reply(status, told, headers)
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            self.reply(401, {"title": "Unauthorized", "status": 401, "detail": "bad key"}, {})
        elif place.path.endswith("/logs"):
            self.stream()
        else:
            self.reply(*self.cloud.answer(asked), {})

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the library's names

    def reply(self, status: int, body: object, headers: dict[str, str]) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        content = b"" if body is None else text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number, line in enumerate(self.cloud.log):
            data = json.dumps({"source": "container", "line": line, "ts": str(number)})
            self.wfile.write(f": beat\n\nid: {number}\ndata: {data}\n\n".encode())


@contextmanager
def running_runpod() -> Iterator[FakeRunPod]:
    """Serve one on a free port until the block ends."""
    cloud = FakeRunPod()
    door = type("OneDoor", (Door,), {"cloud": cloud})
    server = PatientServer(("127.0.0.1", 0), door)
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
