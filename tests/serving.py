"""A real `puna serve` process, for tests of what only a process shows."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class Serving:
    """A server on a free port, from its first line on stderr until the block ends."""

    def __init__(self, home: Path, **environ: str) -> None:
        settings = {"PUNA_HOME": str(home), "PUNA_HOST": "127.0.0.1:0", **environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "puna", "serve"],
            env=os.environ | settings,
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

    def end(self, number: int = signal.SIGTERM, within_s: float = 5) -> int:
        """Send a signal and return the exit code. Raises `TimeoutExpired`."""
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
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stderr.close()
