"""A real Podman of the test's own: its own folders, its own socket, one tiny image."""

import re
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import psutil
import pytest
from filelock import FileLock

from tests.serving import until

IMAGE = "localhost/tiny:1"
_WORDS = (
    "sh ls cat sleep echo nc wget mount mkdir touch dd id ping kill env ln rm true false mknod"
    " head sort tr wc stty"
)
BUSYBOX = Path("/bin/busybox")
_TURN = Path(gettempdir()) / "puna-podman.lock"
"""Bridges and packet filters of one network have names that two Podmans would share."""

_DOORS = "NETAVARK-HOSTPORT-DNAT"


@dataclass(frozen=True, slots=True)
class Podman:
    """Where it listens, and how it is called on the command line."""

    socket: Path
    words: tuple[str, ...]
    is_podman: bool = True

    @property
    def volumes(self) -> Path:
        """A folder in which it sees what an agent mounts."""
        return self.socket.parent / "volumes"

    def run(self, *words: str, check: bool = True) -> str:
        """Run one of its commands and return what it printed."""
        done = subprocess.run(
            [*self.words, *words], capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode:
            raise AssertionError(f"podman {' '.join(words)}: {done.stderr}")
        return done.stdout

    def clear(self) -> None:
        """End and remove every container."""
        for each in self.run("ps", "--all", "--quiet", check=False).split():
            self.run("rm", "--force", each, check=False)


def why_no_podman() -> str:
    """Say what is missing for a real Podman; empty if it can be had."""
    missing = [name for name in ("podman", "runc") if shutil.which(name) is None]
    if missing:
        return f"no {' and '.join(missing)} here"
    if not BUSYBOX.exists():
        return f"no {BUSYBOX} here, of which the image is made"
    return "" if Path("/").stat().st_uid == 0 and is_root() else "needs root"


def is_root() -> bool:
    """Tell whether this process may do everything here."""
    import os  # noqa: PLC0415 - not on every system

    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def a_podman(netns: str = "", *, runtime: str = "runc") -> Iterator[Podman]:
    """Serve one until the end, in a network namespace or none; what it made is removed."""
    if reason := why_no_podman():
        pytest.skip(reason)
    with (
        nullcontext() if netns else FileLock(_TURN),
        TemporaryDirectory(  # overlays need a real disk
            prefix="pod", dir="/var/tmp", ignore_cleanup_errors=True
        ) as folder,
    ):
        place = Path(folder)
        socket = place / "podman.sock"
        inside = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        program = [*inside, "podman", "--runtime", runtime, "--cgroup-manager", "cgroupfs"]
        folders = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--tmpdir", f"{place}/t"]
        podman = Podman(socket, (*program, *folders, "--network-config-dir", f"{place}/networks"))
        podman.run("import", str(pack_tiny(place / "image.tar")), IMAGE)
        service = [*podman.words, "system", "service", "--time=0", f"unix://{socket}"]
        with (place / "log").open("wb") as log, subprocess.Popen(service, stderr=log) as process:
            try:
                until(socket.exists)
                yield podman
            finally:
                podman.run("rm", "--all", "--force", "--time", "0", check=False)
                podman.run("volume", "rm", "--all", "--force", check=False)
                podman.run("network", "prune", "--force", check=False)
                process.terminate()
                process.wait(60)
                _end_watchers(folder)
                unmount_all(folder)
                if not netns:
                    _close_doors()


def unmount_all(folder: str) -> None:
    """Unmount what is left mounted in a folder."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted(places, reverse=True):
        if place.startswith(folder):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def _end_watchers(folder: str) -> None:
    """End what watched programs in containers, which stays for five minutes."""
    for each in psutil.process_iter(["name", "cmdline"]):
        words = each.info["cmdline"] or []
        if each.info["name"] == "conmon" and any(word.startswith(folder) for word in words):
            each.kill()


def _close_doors() -> None:
    """Remove what leads ports of this machine to containers that are gone.

    Whichever program is given such a port next would not be reached.
    """
    listed = subprocess.run(
        ["nft", "--handle", "list", "chain", "ip", "nat", _DOORS],
        capture_output=True,
        text=True,
        check=False,
    )
    for port, handle in re.findall(r"dport (\d+) .*# handle (\d+)", listed.stdout):
        with socket.socket() as probe:
            try:  # the watcher of a container that is there holds its port
                probe.bind(("127.0.0.1", int(port)))
            except OSError:
                continue
        words = ["nft", "delete", "rule", "ip", "nat", _DOORS, "handle", handle]
        subprocess.run(words, capture_output=True, check=False)


def pack_tiny(file: Path) -> Path:
    """Write an image of busybox alone."""
    with tarfile.open(file, "w") as made:
        made.add(BUSYBOX, "bin/busybox")
        for word in _WORDS.split():
            link = tarfile.TarInfo(f"bin/{word}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            made.addfile(link)
        words = b"root:x:0:0::/root:/bin/sh\n"
        users = tarfile.TarInfo("etc/passwd")
        users.size = len(words)
        made.addfile(users, BytesIO(words))
        for name in ("tmp", "proc", "sys", "dev", "root", "workspace"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            made.addfile(folder)
    return file
