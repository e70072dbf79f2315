"""What an engine shows, read from its JSON into values. Pure; nothing is trusted."""

import re
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from puna.agent.containers import CARDS, HOST, POD, numbers_in
from puna.agent.converge import Container, Phase

_LONGEST_LINE = 16 * 1024
_PIECE = 64 * 1024
HEAD = struct.Struct(">BxxxL")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MAPPED = re.compile(r"(\d{1,10})\.\d{1,10}")
"""What Docker calls its folder where it maps users: their first number, and their groups'."""
_FIRST_YEAR = 1970
_NAMELESS = re.compile(r"[0-9a-f]{64}")
_PHASES = {
    "created": Phase.CREATED,
    "configured": Phase.CREATED,
    "initialized": Phase.CREATED,
    "running": Phase.RUNNING,
    "paused": Phase.RUNNING,
    "restarting": Phase.RUNNING,
    "stopping": Phase.RUNNING,
    "removing": Phase.EXITED,
    "exited": Phase.EXITED,
    "stopped": Phase.EXITED,
    "dead": Phase.EXITED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A container of ours as the engine shows it."""

    container: Container
    ports: Mapping[int, int] = field(default_factory=dict)
    """Ports inside, and where on this machine's loopback they are open."""
    address: str = ""
    """Its own address on this machine; empty where it has none."""
    was_short_of_memory: bool = False
    host: str = ""
    """Whose it is, where several agents share an engine."""
    devices: tuple[str, ...] = ()
    """The cards that it has, by their CDI names."""
    pid: int = 0
    """Its first process, as this machine counts them; 0 while it does not run."""
    folders: tuple[Path, ...] = ()
    """Where on this machine is what it writes beside its volume; none where that is not told."""

    @property
    def is_running(self) -> bool:
        """Whether it can be reached."""
        return self.container.phase is Phase.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume of ours."""

    name: str
    pod: str
    host: str
    folder: Path

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> "Volume":
        """Read one from the engine's JSON."""
        labels = shown.get("Labels") or {}
        return cls(
            name=str(shown["Name"]),
            pod=str(labels.get(POD, "")),
            host=str(labels.get(HOST, "")),
            folder=Path(str(shown.get("Mountpoint") or "/")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A network of containers, as it is on this machine."""

    interface: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()

    @classmethod
    def of(cls, about: Mapping[str, Any], more: Mapping[str, Any]) -> "Bridge":
        """Read one from the engine's JSON, and from what Podman alone tells."""
        named = (about.get("Options") or {}).get("com.docker.network.bridge.name")
        interface = more.get("network_interface") or named or f"br-{str(about['Id'])[:12]}"
        parts = (about.get("IPAM") or {}).get("Config") or ()
        return cls(
            interface=str(interface),
            subnets=tuple(str(each["Subnet"]) for each in parts if each.get("Subnet")),
            gateways=tuple(str(each["Gateway"]) for each in parts if each.get("Gateway")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulling:
    """One line of a download: a layer, what is done with it, and how far it is."""

    layer: str
    status: str
    done: int = 0
    total: int = 0

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Pulling":
        """Read one from the engine's JSON."""
        progress = line.get("progressDetail") or {}
        return cls(
            layer=str(line.get("id") or ""),
            status=str(line.get("status") or line.get("stream") or "").strip(),
            done=int(progress.get("current") or 0),
            total=int(progress.get("total") or 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who may pull an image. Lives in memory alone."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What kind of engine this is."""

    is_podman: bool
    version: str
    folder: Path
    """Where it keeps images and containers; its disk is what pods fill."""
    runtimes: Mapping[str, str] = field(default_factory=dict)
    """Names and programs of the runtimes that it knows, installed or not."""
    default_runtime: str = ""
    """The one of containers for which none is named; Podman 4 has no other for any."""
    has_seccomp: bool = False
    maps_all_users: bool = False
    """Docker: whether the daemon maps the users of every container."""
    first_user: int = 0
    """Docker: the number on this machine of every container's root."""
    storage: str = ""
    """What lays out its containers' disks, such as `overlay2`."""
    card_folders: tuple[Path, ...] = ()
    """Docker: where it looks for CDI files; none where it does not."""
    outlives_itself: bool = True
    """Whether containers go on while it is started again."""

    @classmethod
    def of(cls, version: Mapping[str, Any], about: Mapping[str, Any]) -> "Nature":
        """Read one from the engine's JSON."""
        folder = Path(str(about.get("DockerRootDir") or "/"))
        guards = [str(each) for each in about.get("SecurityOptions") or ()]
        is_mapped = any("userns" in each for each in guards)
        mapped = _MAPPED.fullmatch(folder.name)
        return cls(
            is_podman=is_podman(version),
            version=str(version.get("Version", "")),
            folder=folder,
            runtimes={
                str(name): _program(each or {})
                for name, each in (about.get("Runtimes") or {}).items()
            },
            default_runtime=Path(str(about.get("DefaultRuntime") or "")).name,
            has_seccomp=any("seccomp" in each and "unconfined" not in each for each in guards),
            maps_all_users=is_mapped,
            first_user=int(mapped[1]) if is_mapped and mapped else 0,
            storage=str(about.get("Driver") or ""),
            card_folders=tuple(Path(str(each)) for each in about.get("CDISpecDirs") or ()),
            outlives_itself=is_podman(version) or bool(about.get("LiveRestoreEnabled")),
        )


def is_podman(version: Mapping[str, Any]) -> bool:
    """Return whether an engine that tells this of its version is Podman."""
    parts = version.get("Components") or ()
    return any("Podman" in str(part.get("Name")) for part in parts)


def _program(runtime: Mapping[str, Any]) -> str:
    """Return a runtime's program. Docker can also be told its shim's type, and finds that."""
    kind = str(runtime.get("runtimeType") or "")
    if kind.startswith("io.containerd."):
        return "containerd-shim-" + "-".join(kind.split(".")[2:])
    return str(runtime.get("path") or "")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a container wrote; `at` is RFC 3339 as the engine has it."""

    at: str
    text: str
    is_error: bool = False


class Reader(Protocol):
    """The body of an answer as it comes."""

    async def read(self, n: int = -1) -> bytes:
        """Return up to `n` bytes; none at the end."""


def shown_of(about: Mapping[str, Any]) -> Shown | None:
    """Read a container from what the engine tells of it; None if it is not ours."""
    labels = {str(k): str(v) for k, v in (about["Config"].get("Labels") or {}).items()}
    numbers = numbers_in(labels)
    if numbers is None:
        return None
    pod, run, design, crashes = numbers
    state = about["State"]
    container = Container(
        id=str(about["Id"]),
        pod=pod,
        run=run,
        design=design,
        phase=_PHASES.get(str(state.get("Status", "")).lower(), Phase.EXITED),
        crashes=crashes,
        started=moment_of(str(state.get("StartedAt") or "")),
        ended=moment_of(str(state.get("FinishedAt") or "")),
        exit_code=int(state.get("ExitCode") or 0),
    )
    network = about.get("NetworkSettings") or {}
    return Shown(
        container=container,
        ports=_ports(network),
        address=_address(network),
        was_short_of_memory=bool(state.get("OOMKilled")),
        host=labels.get(HOST, ""),
        devices=tuple(filter(None, labels.get(CARDS, "").split(","))),
        pid=int(state.get("Pid") or 0),
        folders=_folders(about),
    )


def _folders(about: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the layer that a container writes to, and volumes that its image has asked for."""
    layers = (about.get("GraphDriver") or {}).get("Data") or {}
    upper = str(layers.get("UpperDir") or "")
    if not upper:
        return ()
    mounts = (each for each in about.get("Mounts") or () if each.get("Type") == "volume")
    nameless = (str(each["Source"]) for each in mounts if is_nameless(str(each.get("Name"))))
    return (Path(upper), *map(Path, nameless))


def is_nameless(volume: str) -> bool:
    """Tell whether a volume is one that an engine has made for an image, and not a pod's."""
    return _NAMELESS.fullmatch(volume) is not None


def _ports(network: Mapping[str, Any]) -> Mapping[int, int]:
    found: dict[int, int] = {}
    for inside, places in (network.get("Ports") or {}).items():
        number, _, kind = str(inside).partition("/")
        outside = next((str(each.get("HostPort") or "") for each in places or ()), "")
        if kind in {"", "tcp"} and number.isdigit() and outside.isdigit():
            found[int(number)] = int(outside)
    return found


def _address(network: Mapping[str, Any]) -> str:
    each = [str(net.get("IPAddress") or "") for net in (network.get("Networks") or {}).values()]
    return next((address for address in each if address), "")


def moment_of(text: str) -> datetime | None:
    """Read an engine's time, which has nanoseconds; None for one that means never."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    whole, part, zone = match.groups()
    moment = datetime.fromisoformat(f"{whole}{(part or '.0')[:7]}{zone.replace('Z', '+00:00')}")
    return moment if moment.year > _FIRST_YEAR else None


async def log_lines(body: Reader, *, is_raw: bool) -> AsyncIterator[LogLine]:
    """Yield the lines of a log as they come: in frames, or raw from a terminal.

    A line that is too long is cut into several; bytes that are no text are shown as such.
    """
    left = {False: b"", True: b""}
    async for is_error, piece in _pieces(body, is_raw=is_raw):
        *lines, rest = (left[is_error] + piece).split(b"\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        left[is_error] = rest
        for line in lines:
            yield _line(line, is_error=is_error)
    for is_error, rest in left.items():
        if rest:
            yield _line(rest, is_error=is_error)


async def _pieces(body: Reader, *, is_raw: bool) -> AsyncIterator[tuple[bool, bytes]]:
    buffer = b""
    while piece := await body.read(_PIECE):
        if is_raw:
            yield False, piece
            continue
        buffer += piece
        while len(buffer) >= HEAD.size:
            stream, length = HEAD.unpack_from(buffer)
            end = HEAD.size + length
            if len(buffer) < end:
                break
            yield stream == 2, buffer[HEAD.size : end]  # noqa: PLR2004 - standard error
            buffer = buffer[end:]


def _line(line: bytes, *, is_error: bool) -> LogLine:
    at, _, text = line.decode(errors="replace").rstrip("\r").partition(" ")
    if _MOMENT.fullmatch(at) is None:  # the rest of a line that was too long
        return LogLine("", f"{at} {text}".rstrip(), is_error)
    return LogLine(at, text, is_error)
