"""Real processes of a market, and hosts and renters that talk to them from threads."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from puna.wire.agent import PATH, Join, Orders, Report
from puna.wire.operator import PATH as OPERATOR
from tests.market.serving import ActualWorld
from tests.market.stage import MACHINE, TERMS, FakeHost

_OUTAGES = (urllib.error.URLError, ConnectionError, TimeoutError, OSError)


class Refused(Exception):
    """The market says no."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.headers = headers


def ask(url: str, path: str, body: object = None, *, key: str = "", method: str = "") -> Any:  # noqa: ANN401 - whatever the market says
    """Ask a market. Raises `Refused`, or one of the errors of a market that is away."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    verb = method or ("GET" if data is None else "POST")
    request = urllib.request.Request(url + path, data, headers, method=verb)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - ours
            text = reply.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(
                error.code,
                error.read(),
                {name.lower(): value for name, value in error.headers.items()},
            ) from error


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
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Take what it says later, so that it never waits for a reader."""
        with suppress(ValueError):  # closed meanwhile
            self.said.extend(line.rstrip() for line in self.stderr)

    @property
    def stderr(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    @property
    def admin_key(self) -> str:
        """The operator's key, if this start showed it."""
        return next((line.split()[-1] for line in self.said if "rpa_" in line), "")

    def ask(self, path: str) -> Any:  # noqa: ANN401 - whatever the market says
        """Look at a path that needs no key."""
        return ask(self.url, path)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

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
        self._listener.join()
        self.stderr.close()

    def operate(self, path: str, body: object = None, *, key: str) -> Any:  # noqa: ANN401 - JSON
        """Ask as the operator."""
        return ask(self.url, OPERATOR + path, body, key=key)

    def account(self, email: str, credit: str, *, admin: str) -> str:
        """Open an account with credit; return its key."""
        opened = self.operate("/accounts", {"email": email}, key=admin)
        granted = {"account": email, "amount": credit, "once": email}
        self.operate("/credit", granted, key=admin)
        return str(opened["key"]["secret"])

    def host(self, name: str, *, admin: str, owner: str = "admin@localhost") -> FakeHost:
        """Let a machine of the operator's join."""
        token = self.operate("/tokens", {"account": owner}, key=admin)["secret"]
        request = Join(token=token, name=name, machine=MACHINE, terms=TERMS)
        joined = ask(self.url, f"{PATH}/join", request.model_dump(mode="json"))
        return FakeHost(joined["host"], joined["key"], owner, MACHINE, TERMS)


class Restless:
    """Does something again and again in a thread, whatever outages it meets."""

    def __init__(self, act: Callable[[], object], *, every_s: float = 0.05) -> None:
        self._act = act
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.outages = 0
        self.failure: Exception | None = None

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._act()
            except Refused:
                continue
            except _OUTAGES:
                self.outages += 1
            except Exception as error:  # noqa: BLE001 - told in the test's own thread
                self.failure = error
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        assert self.failure is None, self.failure


def obey(url: str, host: FakeHost) -> None:
    """Let a host do what it was told and report it, once."""
    world = ActualWorld()
    host.obey(world)
    host.sequence += 1
    report = Report(
        sequence=host.sequence,
        now=world.now(),
        machine=host.machine,
        terms=host.terms,
        pods=list(host.shown.values()),
    )
    told = ask(url, f"{PATH}/report", report.model_dump(mode="json"), key=host.key)
    host.orders = Orders.model_validate(told)
