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
from pathlib import Path
from urllib.parse import urlsplit

from puna.errors import Invalid
from puna.text import one_line
from puna.units import Size

LABEL = "cloud.puna."
POD, HOST, RUN = f"{LABEL}pod", f"{LABEL}host", f"{LABEL}run"
DESIGN, CRASHES, CARDS = f"{LABEL}design", f"{LABEL}crashes", f"{LABEL}cards"
USERS = 65_536
USUAL_RUNTIME = "runc"
SECCOMP = "seccomp="
_FIRST_USERS, _RANGES = 1_000_000_000, 30_000
_TOLD = ("RUNPOD_", "PUNA_MARKET_")
"""How the names of variables begin by which the market tells a pod where it is."""
_TCP_PORT = "RUNPOD_TCP_PORT_"
_CLOSED = {"NVIDIA_VISIBLE_DEVICES": "void"}
"""Cards come by CDI alone. A hook of NVIDIA's older tools, where an engine has it, would give all
of them to whoever sets this variable, and most images do."""
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
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    cards: int = 0
    processors: int = 1
    memory: Size = Size(0)  # noqa: RUF009 - an integer
    volume_path: str = ""
    """Where the pod's volume is mounted; empty without one."""
    runtime: str = ""

    @property
    def digest(self) -> str:
        """A digest that changes with anything that calls for another container.

        What the market tells a pod of its surroundings is not that: a machine whose public address
        changed need not begin all its pods again.
        """
        asked = {name: text for name, text in self.env.items() if not name.startswith(_TOLD)}
        text = json.dumps(asdict(self) | {"env": asked}, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the host adds to each container: its network, and what there may be most of."""

    host: str = ""
    """The market's name for this host: containers of another are not ours."""
    network: str = "puna"
    open_files: int = _MOST_FILES
    processes: int = _MOST_PROCESSES
    calls: Path | None = None
    """The filter of system calls; None leaves the engine's own."""
    is_podman: bool = True
    """Podman gives each pod users of its own, and has a log of its own; Docker has neither."""
    runtimes: tuple[str, ...] = ("runc",)
    """What renters may choose from; the owner can leave the usual one out."""
    limits_disk: bool = False
    """Whether the engine can bound what a container writes beside its volume."""

    @property
    def guards(self) -> Sequence[str]:
        """What is said of the kernel's guards beside what always holds."""
        return () if self.calls is None else (f"{SECCOMP}{self.calls}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one container is given of this host, which another of the same pod need not be."""

    devices: tuple[str, ...] = ()
    """Cards by their CDI names, such as `nvidia.com/gpu=0`."""
    disk: Size = Size(0)  # noqa: RUF009 - an integer
    ports: Mapping[int, int] = field(default_factory=dict)
    """Ports of the container that everybody reaches at this machine's, on all its addresses."""

    @property
    def told(self) -> Mapping[str, str]:
        """What a container is told of it, by RunPod's names."""
        return {f"{_TCP_PORT}{inside}": str(outside) for inside, outside in self.ports.items()}


@dataclass(frozen=True, slots=True)
class Name:
    """Which container: the pod, its run, and how often in a row it ended by itself."""

    pod: str
    run: int = 1
    crashes: int = 0

    def __str__(self) -> str:
        """Return the container's name; one that exists cannot be made twice."""
        return f"puna-{self.pod}-{self.run}-{self.crashes}"


def volume_name(pod: str) -> str:
    """Return the name of a pod's volume."""
    return f"puna-{pod}"


def first_user(pod: str) -> int:
    """Return the number on this machine of a pod's user 0; always the same for the same pod.

    Files in its volume belong to such numbers. Two pods could draw the same of 30,000: they would
    share what the kernel counts by user, and nothing else.
    """
    drawn = int.from_bytes(hashlib.sha256(pod.encode()).digest()[:4])
    return _FIRST_USERS + drawn % _RANGES * USERS


def create_body(
    name: Name, design: Design, house: House, place: Place | None = None
) -> Mapping[str, object]:
    """Return the body of `POST /containers/create`. Raises `UnusablePod`."""
    place = place or Place()
    if (design.runtime or USUAL_RUNTIME) not in house.runtimes:
        raise UnusablePod(f"this host runs pods in {' or '.join(house.runtimes)} alone")
    env = {**place.told, **design.env, **_CLOSED}
    return {
        "Image": check_image(design.image),
        "Cmd": list(words_of(design.args)) or None,
        "Entrypoint": list(design.entrypoint) or None,
        "Env": [f"{name}={value}" for name, value in sorted(env.items())],
        "Labels": {
            POD: name.pod,
            HOST: house.host,
            RUN: str(name.run),
            CRASHES: str(name.crashes),
            DESIGN: design.digest,
            CARDS: ",".join(place.devices),
        },
        # An image's own would be run on this machine's time, as often as it likes.
        "Healthcheck": {"Test": ["NONE"]},
        "ExposedPorts": {f"{port}/tcp": {} for port in design.ports},
        "HostConfig": _host_config(name.pod, design, house, place),
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


def registry_of(image: str) -> str:
    """Return the host of an image's registry, without its port."""
    host = with_registry(image).partition("/")[0]
    return urlsplit(f"//{host}").hostname or host


def name_and_tag(image: str) -> tuple[str, str]:
    """Return an image's name, and the tag or digest by which it is to be fetched."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "latest")


def words_of(args: str) -> Sequence[str]:
    """Return the words of a command line as a shell splits them. Raises `UnusablePod`."""
    try:
        return shlex.split(args)
    except ValueError as error:
        raise UnusablePod(f"the arguments {args!r} are not words: {error}") from error


def _host_config(pod: str, design: Design, house: House, place: Place) -> Mapping[str, object]:
    config: dict[str, object] = {
        "CapDrop": ["ALL"],
        "CapAdd": list(_KEPT),
        "SecurityOpt": ["no-new-privileges", *house.guards],
        "Privileged": False,
        "PidsLimit": house.processes,
        "CpuPeriod": _PERIOD_US,
        "CpuQuota": _PERIOD_US * design.processors,
        "Memory": int(design.memory),
        "MemorySwap": int(design.memory),
        "NetworkMode": house.network,
        "PortBindings": {f"{port}/tcp": [_binding(place.ports.get(port))] for port in design.ports},
        "RestartPolicy": {"Name": "no"},
        "Ulimits": [
            {"Name": "nofile", "Soft": house.open_files, "Hard": house.open_files},
            {"Name": "nproc", "Soft": house.processes, "Hard": house.processes},
        ],
        "LogConfig": _PODMANS_LOG if house.is_podman else _DOCKERS_LOG,
    }
    if house.is_podman:
        users = f"0:{first_user(pod)}:{USERS}"
        config["UsernsMode"] = f"auto:size={USERS},uidmapping={users},gidmapping={users}"
        config["Sysctls"] = {"net.ipv6.conf.default.disable_ipv6": "1"}
    if house.limits_disk and place.disk:
        config["StorageOpt"] = {"size": str(int(place.disk))}
    if design.volume_path:
        _check_mount(design.volume_path)
        config["Mounts"] = [
            {"Type": "volume", "Source": volume_name(pod), "Target": design.volume_path}
        ]
    if place.devices:
        config["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": list(place.devices)}]
    if not house.is_podman:
        # Never the daemon's default: that of a maker gives all cards to whoever sets a variable.
        config["Runtime"] = design.runtime or USUAL_RUNTIME
    return config


def _binding(outside: int | None) -> Mapping[str, str]:
    if outside is None:
        return {"HostIp": "127.0.0.1", "HostPort": ""}
    # Podman takes 0.0.0.0 for an address that nothing is ever sent to.
    return {"HostIp": "", "HostPort": str(outside)}


def _check_mount(path: str) -> None:
    """Raise `UnusablePod` for a place where a volume would hide what a container needs."""
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or path.rstrip("/") in _SACRED:
        raise UnusablePod(
            f'a volume cannot be mounted at "{path}"', hint="use a path such as /workspace"
        )


_PODMANS_LOG = {"Type": "k8s-file", "Config": {"max-size": "10m"}}
_DOCKERS_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
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
