"""A whole cloud of real processes: a market, agents, and a Podman for each host."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port

PUNA = (sys.executable, "-m", "puna")
AGENT = (*PUNA, "agent")
LIMIT_S = 90


@dataclass
class Program:
    """A command that is started, killed and started again; what it says is kept in a file."""

    words: tuple[str, ...]
    environ: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words, env=dict(self.environ), stdout=log, stderr=log, start_new_session=True
            )

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=LIMIT_S)
        self.process = None

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        """End it as a power cut would."""
        self.end(signal.SIGKILL)

    def close(self) -> None:
        """End it if it runs."""
        if self.process is not None:
            self.end()


@dataclass
class Cloud:
    """A market at one address, and whoever has joined it."""

    home: Path
    address: str = ""
    """Where hosts reach it; empty for this machine alone."""
    settings: Mapping[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    admin: str = ""

    def __post_init__(self) -> None:
        """Choose ports that stay the same when the market is started again."""
        place = "0.0.0.0" if self.address else "127.0.0.1"
        port, ssh = free_port(place), free_port(place)
        self.url = f"http://127.0.0.1:{port}"
        self.for_hosts = f"http://{self.address or '127.0.0.1'}:{port}"
        chosen = {
            "PUNA_HOME": str(self.home),
            "PUNA_MARKET_ADDRESS": f"{place}:{port}",
            "PUNA_MARKET_SSH_ADDRESS": f"{place}:{ssh}",
            "PUNA_MARKET_REPORT_EVERY": "1s",
        }
        if self.address:
            chosen["PUNA_MARKET_PUBLIC_ADDRESS"] = self.for_hosts
        words = (*PUNA, "market", "serve")
        environ = os.environ | chosen | dict(self.settings)
        self.market = self._program(words, environ, "market")

    def open(self) -> None:
        """Start the market and read the operator's key."""
        self.market.start()
        self.until(self.is_there, "a market")
        said = self.market.log.read_text().split()
        self.admin = next(word for word in said if word.startswith("rpa_"))

    def is_there(self) -> bool:
        """Ask whether the market is well."""
        return bool(self.ask("GET", "/health", key="")["status"] == "ok")

    def restart(self) -> None:
        """Kill the market, start it again, and wait until it answers."""
        self.market.kill()
        self.market.start()
        self.until(self.is_there, "a market that was started again")

    def close(self) -> None:
        """End every program, hosts first."""
        for each in reversed(self.programs):
            each.close()

    def account(self, email: str, credit: str = "") -> str:
        """Open an account and return its key."""
        opened = self.ask("POST", "/operator/v1/accounts", {"email": email})
        if credit:
            grant = {"account": email, "amount": credit, "once": email}
            self.ask("POST", "/operator/v1/credit", grant)
        secret = opened["key"]["secret"]
        assert isinstance(secret, str)
        return secret

    def host(self, name: str, socket_of_engine: Path, netns: str = "") -> Program:
        """Let a machine of `NAME@example.org` join at 36 cents a processor, and run its agent."""
        owner = f"{name}@example.org"
        self.account(owner)
        wanted = {"account": owner, "cloud": "SECURE"}
        token = self.ask("POST", "/operator/v1/tokens", wanted)["secret"]
        environ = os.environ | {
            "PUNA_HOME": str(self.home / name),
            "PUNA_AGENT_ENGINE": f"unix://{socket_of_engine}",
            "PUNA_AGENT_LOCAL_IMAGES": "true",
        }
        inside = ("nsenter", f"--net=/run/netns/{netns}") if netns else ()
        agreed = ("--price", "0.36", "--processors", "2", "--yes", "--accept-gaps", "--detach")
        words = (*inside, *AGENT, "join", self.for_hosts, "--token", token, *agreed)
        done = subprocess.run(
            words, env=environ, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        agent = self._program((*inside, *AGENT, "run"), environ, name)
        agent.start()
        return agent

    def ask(self, method: str, path: str, body: object = None, *, key: str | None = None) -> Any:  # noqa: ANN401 - whatever the market says
        """Ask the market as its operator, or by another key; an error is raised with its body."""
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 - ours
        request.add_header("Content-Type", "application/json")
        if used := self.admin if key is None else key:
            request.add_header("Authorization", f"Bearer {used}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=LIMIT_S) as reply:  # noqa: S310 - ours
                said = reply.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error
        return json.loads(said) if said else None

    def until(self, is_so: Callable[[], object], what: str) -> None:
        """Wait for something to become true; while the market is away it is not."""
        end = time.monotonic() + LIMIT_S
        while not _is_so(is_so):
            logs = "\n".join(f"{each.log}:\n{each.log.read_text()}" for each in self.programs)
            is_late = time.monotonic() > end or any(each.has_ended for each in self.programs)
            assert not is_late, f"no {what}\n{logs[-6000:]}"
            time.sleep(0.1)

    def _program(self, words: tuple[str, ...], environ: Mapping[str, str], name: str) -> Program:
        program = Program(words, environ, self.home / f"{name}.log")
        program.log.touch()
        self.programs.append(program)
        return program


def _is_so(is_so: Callable[[], object]) -> bool:
    try:
        return bool(is_so())
    except OSError:
        return False


@contextmanager
def a_cloud(home: Path, address: str = "", **settings: str) -> Iterator[Cloud]:
    """Run a market until the block ends, and whoever joins it."""
    cloud = Cloud(home, address, settings)
    try:
        cloud.open()
        yield cloud
    finally:
        cloud.close()
