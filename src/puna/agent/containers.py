"""What a pod's container is made from: the body that the Docker Engine API takes. Pure.

The defaults protect the machine's owner from a renter: no privileges, no capabilities but those
that ordinary images need, a limit to everything, users of its own. Nothing here can be switched off
by a renter. The network that keeps pods away from the owner's is the host's to make.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from puna.errors import Invalid
from puna.text import one_line
from puna.units import Size

LABEL = "cloud.puna."
POD, RUN, DESIGN, CRASHES = (f"{LABEL}{name}" for name in ("pod", "run", "design", "crashes"))
_MOST_PROCESSES = 4096
_MOST_FILES = 1024 * 1024
_PERIOD_US = 100_000
_LONGEST_IMAGE = 400
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5}(?=/))?"
    r"([._-]{1,2}[A-Za-z0-9]+)*(/[A-Za-z0-9]+([._-]{1,2}[A-Za-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_TRANSPORTS = frozenset(
    {
        "containers-storage",
        "dir",
        "docker",
        "docker-archive",
        "docker-daemon",
        "oci",
        "oci-archive",
        "ostree",
        "sif",
        "tarball",
    }
)
_KEPT = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
)
"""What apt, ssh servers and most images need to start; Docker's own list has six more."""


class UnusablePod(Invalid):
    """A pod's description that no container can be made from."""

    code = "unusable_pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Everything that a container is made from. Ports are of the container, TCP."""

    image: str
    args: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    devices: tuple[str, ...] = ()
    """Cards by their CDI names, such as `nvidia.com/gpu=0`."""
    processors: int = 1
    memory: Size = Size(0)  # noqa: RUF009 - an integer
    volume_path: str = ""
    """Where the pod's volume is mounted; empty without one."""
    runtime: str = ""

    @property
    def digest(self) -> str:
        """A digest that changes with anything that calls for another container."""
        text = json.dumps(asdict(self), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the host adds to each container: its network, and what there may be most of."""

    network: str = "puna"
    open_files: int = _MOST_FILES
    processes: int = _MOST_PROCESSES
    maps_users: bool = True


def container_name(pod: str, run: int, crashes: int) -> str:
    """Return the name of a container; one that exists cannot be made twice."""
    return f"puna-{pod}-{run}-{crashes}"


def volume_name(pod: str) -> str:
    """Return the name of a pod's volume."""
    return f"puna-{pod}"


def create_body(
    pod: str, run: int, crashes: int, design: Design, house: House
) -> Mapping[str, object]:
    """Return the body of `POST /containers/create`. Raises `UnusablePod`."""
    return {
        "Image": design.image,
        "Cmd": list(words_of(design.args)) or None,
        "Env": [f"{name}={value}" for name, value in sorted(design.env.items())],
        "Labels": {POD: pod, RUN: str(run), CRASHES: str(crashes), DESIGN: design.digest},
        "ExposedPorts": {f"{port}/tcp": {} for port in design.ports},
        "HostConfig": _host_config(pod, design, house),
    }


def check_image(image: str) -> str:
    """Return an image's name if a registry can have it. Raises `UnusablePod`.

    Engines take more for one: `dir:/home/owner` or `oci-archive:` would show a renter the files of
    this machine.
    """
    host = image.partition("/")[0].partition(":")[0]
    if _IMAGE.fullmatch(image) is None or host in _TRANSPORTS or len(image) > _LONGEST_IMAGE:
        raise UnusablePod(
            f'"{one_line(image, 80)}" is not an image', hint="use one such as ubuntu:24.04"
        )
    return image


def with_registry(image: str) -> str:
    """Return an image's name with the registry that Docker means where there is none."""
    host, slash, _ = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def words_of(args: str) -> Sequence[str]:
    """Return the words of a command line as a shell splits them. Raises `UnusablePod`."""
    try:
        return shlex.split(args)
    except ValueError as error:
        raise UnusablePod(f"the arguments {args!r} are not words: {error}") from error


def _host_config(pod: str, design: Design, house: House) -> Mapping[str, object]:
    config: dict[str, object] = {
        "CapDrop": ["ALL"],
        "CapAdd": list(_KEPT),
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PidsLimit": house.processes,
        "CpuPeriod": _PERIOD_US,
        "CpuQuota": _PERIOD_US * design.processors,
        "Memory": int(design.memory),
        "MemorySwap": int(design.memory),
        "NetworkMode": house.network,
        "PortBindings": {
            f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in design.ports
        },
        "RestartPolicy": {"Name": "no"},
        "Ulimits": [
            {"Name": "nofile", "Soft": house.open_files, "Hard": house.open_files},
            {"Name": "nproc", "Soft": house.processes, "Hard": house.processes},
        ],
        "LogConfig": {"Type": "k8s-file", "Config": {"max-size": "10m"}},
    }
    if house.maps_users:
        config["UsernsMode"] = "auto"
    if design.volume_path:
        _check_mount(design.volume_path)
        config["Mounts"] = [
            {"Type": "volume", "Source": volume_name(pod), "Target": design.volume_path}
        ]
    if design.devices:
        config["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": list(design.devices)}]
    if design.runtime:
        config["Runtime"] = design.runtime
    return config


def _check_mount(path: str) -> None:
    """Raise `UnusablePod` for a place where a volume would hide what a container needs."""
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or path.rstrip("/") in _SACRED:
        raise UnusablePod(
            f'a volume cannot be mounted at "{path}"', hint="use a path such as /workspace"
        )


_SACRED = frozenset({"", "/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/usr", "/lib"})


def numbers_in(labels: Mapping[str, str]) -> tuple[str, int, str, int] | None:
    """Return pod, run, design and crashes from a container's labels; None if it is not ours.

    A label that was tampered with reads as a container of run 0, which every order replaces.
    """
    pod = labels.get(POD)
    if not pod:
        return None
    run, crashes = (_number(labels.get(name, "")) for name in (RUN, CRASHES))
    return pod, run, labels.get(DESIGN, ""), crashes


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - no run has so many digits
