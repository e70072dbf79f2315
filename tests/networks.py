"""Machines of a test's own on one wire: network namespaces, joined by a bridge to this one."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_LIMIT_S = 90
WIRES = range(211, 215)
"""Networks of wires are below 10 and one of these."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A bridge, whose own end is `address`, and the namespaces at its other ends."""

    bridge: str
    address: str
    machines: Sequence[str]

    def cut(self, machine: str) -> None:
        """Pull a machine's plug."""
        _ip("link", "set", _plug(self.bridge, self.machines.index(machine)), "down")

    def mend(self, machine: str) -> None:
        """Put it in again."""
        _ip("link", "set", _plug(self.bridge, self.machines.index(machine)), "up")


def why_no_wire() -> str:
    """Say why no networks can be made here; empty if they can."""
    missing = [name for name in ("ip", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"no {' and '.join(missing)} here"
    if os.geteuid():
        return "needs root"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "no network namespaces here" if tried.returncode else ""


@contextmanager
def a_wire(machines: int) -> Iterator[Wire]:
    """Join so many machines to this one until the block ends."""
    mark = secrets.token_hex(3)  # links of another wire, which was taken down, go a moment later
    bridge, net = f"puna{mark}", f"10.{secrets.choice(WIRES)}.{secrets.randbelow(250)}"
    names = [f"puna-{mark}-{number}" for number in range(machines)]
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, name in enumerate(names):
            plug = _plug(bridge, number)
            _ip("netns", "add", name)
            _ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", plug, "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{net}.{number + 2}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "via", f"{net}.1")
        yield Wire(bridge, f"{net}.1", names)
    finally:
        for number, name in enumerate(names):
            _ip("link", "delete", _plug(bridge, number), check=False)
            _ip("netns", "delete", name, check=False)
        _ip("link", "delete", bridge, check=False)


def _plug(bridge: str, number: int) -> str:
    return f"{bridge}p{number}"


def _ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(
        ["ip", *words], capture_output=True, text=True, check=False, timeout=_LIMIT_S
    )
    assert done.returncode == 0 or not check, f"ip {' '.join(words)}: {done.stderr}"
