"""A real Docker of the test's own: its own folders, its own socket, one tiny image.

It touches no packet filters and maps the users of every container, as `docs/lending.md` asks of an
owner's: the range is named by a file that only it sees. `PUNA_TEST_DOCKERD` names another than the
one of the path, such as a newer one.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.podman import BUSYBOX, IMAGE, Podman, is_root, pack_tiny, unmount_all
from tests.serving import until

FIRST_USER = 300_000
_MAPPED, _RANGES = "nobody", ("/etc/subuid", "/etc/subgid")
_DAEMON = os.environ.get("PUNA_TEST_DOCKERD", "dockerd")


def why_no_docker() -> str:
    """Say what is missing for a real Docker; empty if it can be had."""
    needed = [_DAEMON, "docker", "containerd", "runc", "unshare"]
    missing = [name for name in needed if shutil.which(name) is None]
    missing += [name for name in _RANGES if not Path(name).exists()]
    if missing:
        return f"no {' and '.join(missing)} here"
    if not BUSYBOX.exists():
        return f"no {BUSYBOX} here, of which the image is made"
    return "" if is_root() else "needs root"


@contextmanager
def a_docker(netns: str = "") -> Iterator[Podman]:
    """Serve one until the end, in a network namespace or none; what it made is removed."""
    if reason := why_no_docker():
        pytest.skip(reason)
    with TemporaryDirectory(prefix="dock", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        place.chmod(0o711)  # its users must come by
        socket = place / "docker.sock"
        docker = Podman(socket, ("docker", "-H", f"unix://{socket}"), is_podman=False)
        _share(docker.volumes)
        inside = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        words = [*inside, "unshare", "--mount", "--propagation", "slave", "sh", "-c"]
        with (
            (place / "log").open("wb") as log,
            subprocess.Popen([*words, _script(place)], stderr=log) as process,
        ):
            try:
                until(lambda: docker.socket.exists() or process.poll() is not None, within_s=90)
                assert process.poll() is None, (place / "log").read_text()[-4000:]
                docker.run("import", str(pack_tiny(place / "image.tar")), IMAGE)
                yield docker
            finally:
                docker.clear()
                docker.run("network", "prune", "--force", check=False)
                process.terminate()
                process.wait(30)
                unmount_all(folder)


def _script(place: Path) -> str:
    """Return what a shell does in a mount namespace of its own."""
    ranges = place / "ranges"
    ranges.write_text(f"{_MAPPED}:{FIRST_USER}:65536\n")
    words = [
        f"exec {_DAEMON} --host unix://{place}/docker.sock --pidfile {place}/pid",
        f"--data-root {place}/data --exec-root {place}/run --config-file {place}/none.json",
        f"--exec-opt native.cgroupdriver=cgroupfs --userns-remap {_MAPPED}:nogroup",
        "--bridge none --iptables=false --ip6tables=false --ip-masq=false",
    ]
    if program := shutil.which("runsc"):
        words.append(f"--add-runtime runsc={program}")
    (place / "none.json").write_text("{}")
    binds = [
        f"touch {each}; mount --bind {ranges} {each}" for each in ("/etc/subuid", "/etc/subgid")
    ]
    return "; ".join([*binds, " ".join(words)])


def _share(folder: Path) -> None:
    """Let others see what will be mounted in a folder: root of this machine may be private."""
    folder.mkdir()
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "--make-shared", str(folder)], check=True)
