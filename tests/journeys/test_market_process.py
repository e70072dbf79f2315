"""`puna market serve` as a process: the operator's key once, a clean end, and started again."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pytest

pytestmark = pytest.mark.journey


class ServingMarket:
    """A real `puna market serve` on a free port, from its first line until the block ends."""

    def __init__(self, home: Path, *words: str, **environ: str) -> None:
        free = {"PUNA_MARKET_ADDRESS": "127.0.0.1:0", "PUNA_MARKET_SSH_ADDRESS": "127.0.0.1:0"}
        settings = {"PUNA_HOME": str(home), **free, **environ}
        self.environ = os.environ | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "puna", "market", "serve", *words],
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self.url = ""
        while line := self.stderr.readline():
            self.said.append(line.rstrip())
            if " listens on " in line:
                self.url = line.split()[-1]
                break

    @property
    def stderr(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    @property
    def admin_key(self) -> str:
        """The operator's key, if this start showed it."""
        return next((line.split()[-1] for line in self.said if "rpa_" in line), "")

    def ask(self, path: str) -> Any:  # noqa: ANN401 - whatever the market says
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:  # noqa: S310 - ours
            return json.load(reply)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.stderr.close()


def test_the_first_start_shows_the_operators_key_and_no_other_does(tmp_path: Path) -> None:
    with ServingMarket(tmp_path) as first:
        assert first.admin_key.startswith("rpa_")
        assert first.ask("/health")["status"] == "ok"
        assert first.end() == 0
    with ServingMarket(tmp_path) as second:
        assert second.admin_key == ""
        assert second.ask("/health")["status"] == "ok"
        second.end(signal.SIGKILL)
    with ServingMarket(tmp_path) as third:
        assert third.ask("/health")["status"] == "ok"


def test_the_key_itself_is_kept_nowhere(tmp_path: Path) -> None:
    with ServingMarket(tmp_path) as market:
        key = market.admin_key
        market.end()
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert files
    assert not [each for each in files if key.encode() in each.read_bytes()]
    with sqlite3.connect(tmp_path / "market" / "market.db") as database:
        assert database.execute("select count(*) from keys").fetchone() == (1,)
    database.close()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PUNA_MARKET_TICK", "soon", 'PUNA_MARKET_TICK: "soon" is not a duration'),
        ("PUNA_MARKET_DATABASE", "mysql://x/y", "the market knows no mysql database"),
    ],
)
def test_a_bad_setting_is_one_line(tmp_path: Path, name: str, value: str, said: str) -> None:
    with ServingMarket(tmp_path, **{name: value}) as market:
        assert market.process.wait(timeout=20) == 1
    assert market.said[0] == f"Error: {said}"
