"""What a renter asks for, before anybody has decided anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from puna.errors import Invalid
from puna.market.domain.hosts import Cloud, Room, Tenure
from puna.market.domain.metering import Footprint
from puna.market.domain.placement import Demand
from puna.units import Money, Size

_GB = 10**9
_MOST_VARIABLES = 50
_MOST_HTTP_PORTS = 10
_MOST_TCP_PORTS = 50
"""Each is a door of the host's, and some work for it at each start."""
_MOST_PORT = 65535
_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(days=3650)
_LEAST_IDLE = timedelta(minutes=1)
"""Whether a pod is used is looked at four times a minute, and told within half a minute."""


class InvalidPod(Invalid):
    """What was asked for cannot be a pod."""

    code = "invalid_pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """A pod as it was asked for. Sizes are whole gigabytes, prices for one card and hour."""

    image: str
    args: str = ""
    entrypoint: tuple[str, ...] = ()
    """Instead of the image's own; empty leaves that."""
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    """`8888/http` or `22/tcp`."""
    access: Mapping[str, str] = field(default_factory=dict)
    """By the number of an HTTP port, who may call it: `closed` (the account alone) or `open`."""
    disk_gb: int = 20
    volume_gb: int = 0
    volume_path: str = "/workspace"
    cards: int = 0
    card_models: tuple[str, ...] = ()
    card_memory_gb: int = 0
    in_order: bool = False
    processors: int = 2
    memory_gb: int = 4
    cloud: Cloud | None = None
    countries: tuple[str, ...] = ()
    data_centers: tuple[str, ...] = ()
    cuda: tuple[int, int] = (0, 0)
    """The oldest that does."""
    cuda_versions: tuple[str, ...] = ()
    """The only ones that do, such as `12.8`; empty: any."""
    down_mbps: int = 0
    up_mbps: int = 0
    disk_mbps: int = 0
    needs_public_ip: bool = False
    runtime: str = "runc"
    tenure: Tenure = Tenure.ON_DEMAND
    bid: Money | None = None
    ceiling: Money | None = None
    returns: bool = False
    """A spot pod that was displaced is placed again by itself."""
    stop_after: timedelta | None = None
    """From each start."""
    terminate_after: timedelta | None = None
    """From the day it was rented."""
    idle_stop: timedelta | None = None
    """It stops when nothing happened in it for so long."""
    starts_ssh: bool = False
    """It is given the account's public keys."""
    starts_jupyter: bool = False
    """It is given a password for JupyterLab."""

    @property
    def takes(self) -> Room:
        """What it takes of a machine."""
        return Room(
            cards=self.cards,
            processors=self.processors,
            memory=Size(self.memory_gb * _GB),
            disk=Size((self.disk_gb + self.volume_gb) * _GB),
        )

    @property
    def keeps(self) -> Room:
        """What it takes of its machine while it is stopped: its volume."""
        return Room(cards=0, processors=0, memory=Size(0), disk=Size(self.volume_gb * _GB))

    @property
    def footprint(self) -> Footprint:
        """What it takes that has a price."""
        return Footprint(
            cards=self.cards,
            processors=self.processors,
            disk_gb=self.disk_gb,
            volume_gb=self.volume_gb,
        )

    def demand(self, *, avoid: frozenset[str] = frozenset()) -> Demand:
        """Return what a host must have for it."""
        return Demand(
            takes=self.takes,
            cards=self.card_models,
            in_order=self.in_order,
            tenure=self.tenure,
            bid=self.bid,
            ceiling=self.ceiling,
            cloud=self.cloud,
            countries=frozenset(self.countries),
            data_centers=frozenset(self.data_centers),
            card_memory=Size(self.card_memory_gb * _GB),
            cuda=self.cuda,
            cuda_versions=frozenset(self.cuda_versions),
            down_mbps=self.down_mbps,
            up_mbps=self.up_mbps,
            disk_mbps=self.disk_mbps,
            needs_public_ip=self.needs_public_ip,
            runtime=self.runtime,
            avoid=avoid,
        )


def check(spec: PodSpec) -> PodSpec:
    """Return the spec if a pod can be made of it. Raises `InvalidPod`."""
    complaint = next(_complaints(spec), None)
    if complaint:
        raise InvalidPod(complaint)
    return spec


def complaints_of_container(spec: PodSpec) -> Iterator[str]:
    """Yield what is wrong with what a template and a pod have in common."""
    if not spec.image.strip():
        yield "a pod needs an image"
    if spec.disk_gb < 1 or spec.volume_gb < 0:
        yield f"a disk of {spec.disk_gb} GB and a volume of {spec.volume_gb} GB cannot be had"
    if not spec.volume_path.startswith("/") or ".." in spec.volume_path.split("/"):
        yield f'a volume cannot be mounted at "{spec.volume_path}"'
    if len(spec.env) > _MOST_VARIABLES:
        yield f"{len(spec.env)} variables are more than {_MOST_VARIABLES}"
    yield from (f'"{name}" is not the name of a variable' for name in spec.env if _is_no_name(name))
    if wrong := next((name for name, value in spec.env.items() if "\0" in value), None):
        yield f"the value of {wrong} has a zero byte in it"
    yield from (f'"{port}" is not a port such as 8888/http' for port in spec.ports if _bad(port))
    if len(set(spec.ports)) < len(spec.ports):
        yield "a port is named twice"
    yield from _complaints_of_access(spec)
    if sum(port.endswith("/http") for port in spec.ports) > _MOST_HTTP_PORTS:
        yield f"more than {_MOST_HTTP_PORTS} HTTP ports"
    if sum(port.endswith("/tcp") for port in spec.ports) > _MOST_TCP_PORTS:
        yield f"more than {_MOST_TCP_PORTS} TCP ports"
    if wrong := next((each for each in spec.cuda_versions if not version_of(each)), None):
        yield f'"{wrong}" is not a version of CUDA such as 12.8'


def version_of(text: str) -> tuple[int, int] | None:
    """Return a version such as `12.8` as numbers; None where it is none."""
    major, _, minor = text.partition(".")
    if not all(each.isascii() and each.isdigit() for each in (major, minor or "0")):
        return None
    return int(major[:4]), int((minor or "0")[:4])


def _is_no_name(name: str) -> bool:
    return not name or "=" in name or "\0" in name


def _complaints(spec: PodSpec) -> Iterator[str]:
    yield from complaints_of_container(spec)
    yield from _complaints_of_access(spec)
    if spec.cards < 0 or spec.processors < 1 or spec.memory_gb < 1:
        yield f"{spec.cards} cards, {spec.processors} processors, {spec.memory_gb} GB: no machine"
    if spec.tenure is Tenure.SPOT and (spec.bid is None or spec.bid <= 0):
        yield "a spot pod needs a bid"
    if spec.tenure is Tenure.ON_DEMAND and spec.bid is not None:
        yield "only a spot pod has a bid"
    if spec.returns and spec.tenure is not Tenure.SPOT:
        yield "only a spot pod can be displaced and return"
    yield from (
        f"{span} is no time after which to {what}"
        for what, span in (
            ("stop", spec.stop_after),
            ("terminate", spec.terminate_after),
            ("stop an idle pod", spec.idle_stop),
        )
        if span is not None and not _SHORTEST <= span <= _LONGEST
    )
    if spec.idle_stop is not None and spec.idle_stop < _LEAST_IDLE:
        yield f"a pod is stopped when it idled for a minute or longer, not {spec.idle_stop}"


def _bad(port: str) -> bool:
    number, _, kind = port.partition("/")
    if kind not in {"http", "tcp"} or not (number.isascii() and number.isdigit()):
        return True
    return not 0 < int(number[:6]) <= _MOST_PORT


def _complaints_of_access(spec: PodSpec) -> Iterator[str]:
    for port, who in spec.access.items():
        if who not in {"open", "closed"}:
            yield f'access to port {port} cannot be "{who}": it is open or closed'
        if f"{port}/http" not in spec.ports:
            yield f"access is told of port {port}, which is no HTTP port of the pod"
