"""A real `puna serve` process, for tests of what only a process shows."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

import psutil


@dataclass(frozen=True)
class Answer:
    """A reply, read whole, whatever its status."""

    status: int
    body: bytes

    @property
    def last(self) -> Mapping[str, object]:
        """The object, or the last of a stream."""
        value = json.loads(self.body.splitlines()[-1])
        assert isinstance(value, dict)
        return value


class Serving:
    """A server on a free port, from its first line on stderr until the block ends.

    `limits` are words of the shell's `ulimit`, such as `-S -n 64`.
    """

    def __init__(self, home: Path, *, limits: str = "", **environ: str) -> None:
        settings = {"PUNA_HOME": str(home), "PUNA_HOST": "127.0.0.1:0", **environ}
        self.environ = os.environ | settings
        program = [sys.executable, "-m", "puna", "serve"]
        limited = ["/bin/sh", "-c", f'ulimit {limits}; exec "$@"', "sh", *program]
        self.process = subprocess.Popen(
            limited if limits else program,
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first_line = self.stderr.readline().strip()
        self.url = self.first_line.rpartition(" ")[2]

    @property
    def stderr(self) -> IO[str]:
        """What the server says."""
        assert self.process.stderr is not None
        return self.process.stderr

    def open(self, path: str, body: object = None) -> http.client.HTTPResponse:
        """Ask the server; the reply's body is still to be read."""
        data = None if body is None else json.dumps(body).encode()
        reply = urllib.request.urlopen(self.url + path, data, timeout=60)  # noqa: S310 - ours
        assert isinstance(reply, http.client.HTTPResponse)
        return reply

    def ask(self, path: str, body: object = None, *, method: str = "POST") -> Answer:
        """Ask the server and read the reply, be it an error."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body))
        reply = connection.getresponse()
        answer = Answer(reply.status, reply.read())
        connection.close()
        return answer

    def begin(self, body: object, path: str = "/api/generate") -> socket.socket:
        """Send a request and read nothing."""
        place = urlsplit(self.url)
        client = socket.create_connection((place.hostname or "", place.port or 0), timeout=60)
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        client.sendall(head.encode() + content)
        return client

    @property
    def engines(self) -> list[psutil.Process]:
        """The processes that it has started and that still run."""
        return [each for each in psutil.Process(self.process.pid).children() if runs(each)]

    @property
    def open_files(self) -> int:
        """How many files and connections it holds."""
        return psutil.Process(self.process.pid).num_fds()

    def run(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of puna that talks to this server."""
        command = [sys.executable, "-m", "puna", *words]
        environ = {**self.environ, "PUNA_HOST": self.url}
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=timeout_s
        )

    def end(self, number: int = signal.SIGTERM, within_s: float = 60) -> int:
        """Send a signal and return the exit code. Raises `TimeoutExpired`.

        The limit is far beyond what is promised, for machines that have other work.
        """
        self.process.send_signal(number)
        return self.process.wait(timeout=within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stderr.close()


def until(is_so: Callable[[], object], *, within_s: float = 90) -> None:
    """Wait for a fact about another process to become true. Fails if it does not in time."""
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.01)


def rest_of(client: socket.socket) -> bytes:
    """Return what comes until the server closes, or until the end of one chunked reply."""
    received = b""
    while not received.endswith(b"0\r\n\r\n") and (block := client.recv(2**20)):
        received += block
    client.close()
    return received


def runs(process: psutil.Process) -> bool:
    """Tell whether a process is there; it may end between two looks."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
