"""A batch over two servers, one of which is killed in the middle and comes back."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from puna.batch.jobs import Jobs
from tests.serving import Serving, until

pytestmark = pytest.mark.journey
ROWS = 320
KEY = "k-very-secret"


def a_server(home: Path, port: int = 0) -> Serving:
    host = f"127.0.0.1:{port}"
    return Serving(home, PUNA_ENGINE="scripted", PUNA_HOST=host, PUNA_API_KEY=KEY)


def begin(folder: Path, *servers: Serving) -> "subprocess.Popen[str]":
    source = folder / "in.csv"
    lines = [f"{n},count to {60 + n}" for n in range(ROWS)]
    source.write_text("\n".join(["id,text", *lines]), encoding="utf-8")
    command = [sys.executable, "-m", "puna", "batch", "run", str(source), "--no-report"]
    command += ["-o", str(folder / "out.jsonl"), "-m", "smollm2", "--prompt", "{{ text }}"]
    for each in servers:
        command += ["--endpoint", f"{each.url},key=env:LAB_KEY"]
    environ = os.environ | {"PUNA_HOME": str(folder / "home"), "LAB_KEY": KEY}
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)


class Timeline:
    """Who has computed what so far."""

    def __init__(self, folder: Path) -> None:
        output = folder / "out.jsonl"
        self._file = Jobs(folder / "home").checkpoint(output).folder / "timeline.jsonl"

    def shards(self, server: Serving) -> int:
        """How many shards a server has done."""
        if not self._file.exists():
            return 0
        lines = self._file.read_text(encoding="utf-8").splitlines()
        port = urlsplit(server.url).port
        return Counter(urlsplit(json.loads(line)["worker"]).port for line in lines)[port]


def test_a_server_that_is_killed_and_returns_costs_no_row(tmp_path: Path) -> None:
    with a_server(tmp_path / "a") as first, a_server(tmp_path / "b") as second:
        process = begin(tmp_path, first, second)
        timeline = Timeline(tmp_path)
        until(lambda: timeline.shards(first) > 0 and timeline.shards(second) > 0, within_s=60)
        words = " ".join(psutil.Process(process.pid).cmdline())
        first.end(signal.SIGKILL)
        before = timeline.shards(first)
        port = urlsplit(first.url).port or 0
        with a_server(tmp_path / "a", port) as again:
            _, said = process.communicate(timeout=120)
            after = timeline.shards(again)
    assert process.returncode == 0, said
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [int(row["id"]) for row in rows] == list(range(ROWS))
    assert all(row["answer"].startswith("1 2 3 4 5") for row in rows)
    assert KEY not in words + said
    assert after >= before
