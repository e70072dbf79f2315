"""What every test shares: the network ends here, and nobody's own settings are touched."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.networks import WIRES

settings.register_profile(
    "puna", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("puna")

_LOCAL = ("127.", "::1", "localhost", *(f"10.{number}." for number in WIRES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse cases named by where an object lies in memory: two processes name them differently.

    Then nothing at all would be run with `-n 2`.
    """
    wrong = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if wrong:
        raise pytest.UsageError(f"{wrong[0]} has another name in each process: give it an id")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine, and networks that tests made on it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOCAL):
            self.close()  # who does not expect this error leaves it open
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let Ctrl-C end what tests start: a shell's `&` hands down that it is to be ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run every test, and each process that it starts, as a user with an empty home."""
    home = tmp_path_factory.mktemp("home")
    kept = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("PUNA_", "OLLAMA_")):
            del os.environ[name]
    os.environ |= {"HOME": str(home), "PUNA_HOME": str(home / "puna"), "NO_COLOR": "1"}
    os.environ["PUNA_MIRRORS"] = "registry.ollama.ai=http://127.0.0.1:9,hf.co=http://127.0.0.1:9"
    yield home
    os.environ.clear()
    os.environ.update(kept)
