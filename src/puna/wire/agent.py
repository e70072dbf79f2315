"""What an agent and its market say to each other, as JSON over HTTPS; the agent always asks.

An agent joins once with a token and gets a key of its own. After that it reports what it sees, and
is told what should be: always everything, so that a lost or doubled message changes nothing.
Times are RFC 3339 with their offset from UTC, sizes bytes, money micro-dollars.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from puna.text import one_line

PATH = "/agent/v1"
"""`POST PATH/join` and `POST PATH/report`."""


class Message(BaseModel):
    """Fields that are not known are ignored: the other side may be newer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


_MOST_BYTES = 2**60
_MOST_MBPS = 10**9
_MOST_MONEY = 10**15
"""A thousand million dollars."""
_MOST_PORTS = 200


def _one_line(limit: int) -> Callable[[str], str]:
    """Return what makes a host's words fit for the terminals of others."""
    return lambda text: one_line(text, limit)


def _address(text: str) -> str:
    """Return an address if it is one, or nothing."""
    return str(ip_address(text)) if text else ""


Word = Annotated[str, Field(max_length=64), AfterValidator(_one_line(64))]
Moment = Annotated[str, Field(max_length=32)]
Port = Annotated[int, Field(ge=0, le=65535)]


class MachineReport(Message):
    """What the machine has. Network in megabits a second, the disk in megabytes."""

    card: Word = ""
    cards: int = Field(default=0, ge=0, le=64)
    card_memory: int = Field(default=0, ge=0, le=_MOST_BYTES)
    processors: int = Field(ge=1, le=10**6)
    memory: int = Field(ge=0, le=_MOST_BYTES)
    disk: int = Field(ge=0, le=_MOST_BYTES)
    country: Annotated[Word, Field(max_length=2)] = ""
    down_mbps: int = Field(default=0, ge=0, le=_MOST_MBPS)
    up_mbps: int = Field(default=0, ge=0, le=_MOST_MBPS)
    disk_mbps: int = Field(default=0, ge=0, le=_MOST_MBPS)
    cuda: Word = ""
    public_ip: Annotated[str, AfterValidator(_address)] = ""
    data_center: Word = ""
    """The name of the place that it stands in, such as `EU-PL-1`; a renter may ask for it."""
    runtimes: list[Word] = Field(default=["runc"], max_length=16)


class TermsReport(Message):
    """What the owner asks for one card (or, without cards, one processor) and hour."""

    price: int = Field(ge=0, le=_MOST_MONEY)
    least_bid: int | None = Field(default=None, ge=0, le=_MOST_MONEY)
    opens: Moment = ""
    closes: Moment = ""
    """`HH:MM` in UTC; empty for always."""
    is_paused: bool = False


class Join(Message):
    """`POST /agent/v1/join`."""

    token: str
    name: Annotated[Word, Field(min_length=1)]
    machine: MachineReport
    terms: TermsReport


class Joined(Message):
    """The machine's identity from now on. The key is shown this once."""

    host: str
    key: str
    report_every_s: int = 10


class PortReport(Message):
    """A port of a container, and where on the host it is open."""

    inside: Port
    outside: Port


class CardUse(Message):
    """What a card does, in hundredths: of the time, and of its memory."""

    busy: float = Field(ge=0, le=100)
    memory: float = Field(ge=0, le=100)


class UseReport(Message):
    """What a pod uses, in hundredths of the processors and of the memory that it rented."""

    processor: float = Field(ge=0, le=100)
    memory: float = Field(ge=0, le=100)
    cards: list[CardUse] = Field(default=[], max_length=64)
    """In the order of its cards; empty where their driver does not tell."""


class PodReport(Message):
    """What the host shows of one pod."""

    pod: str = Field(max_length=64)
    run: int = Field(ge=0, le=10**7)
    observed: str
    """`absent`, `pulling`, `created`, `running`, `exited` or `failed`."""
    reason: Annotated[str, Field(max_length=2000), AfterValidator(_one_line(2000))] = ""
    exit_code: int | None = None
    started: AwareDatetime | None = None
    """When its container began; the market charges from then."""
    ended: AwareDatetime | None = None
    active: AwareDatetime | None = None
    """When something last happened in it: processor, card, network or a terminal."""
    is_idle: bool = False
    """It was stopped here because it was used by nobody for as long as its order allows."""
    use: UseReport | None = None
    """What it used lately; None where that is not measured."""
    ports: list[PortReport] = Field(default=[], max_length=_MOST_PORTS)
    log: list[str] = Field(default=[], max_length=1000)
    """New lines for the system log: image, create, start, stop."""


class Report(Message):
    """`POST /agent/v1/report`: everything on this host. An older sequence is ignored."""

    sequence: int = Field(ge=0, le=2**62)
    now: AwareDatetime
    """The host's clock, so that a wrong one is seen."""
    machine: MachineReport
    terms: TermsReport
    pods: list[PodReport] = Field(default=[], max_length=1000)
    knows: str = ""
    """The version of the orders that it has. The same version is waited for, up to `wait_s`."""
    wait_s: int = Field(default=0, ge=0, le=60)


class Credential(Message):
    """Who may pull an image. Never written to a disk by the agent."""

    username: str
    password: str


class PodOrder(Message):
    """What should be on this host for one pod."""

    pod: str
    run: int
    want: str
    """`run`, `stop` or `terminate`."""
    image: str = ""
    args: str = ""
    entrypoint: list[str] = []
    """Instead of the image's own; empty leaves that."""
    env: dict[str, str] = {}
    ports: list[str] = []
    """`8888/http`, `22/tcp`."""
    credential: Credential | None = None
    cards: int = 0
    processors: int = 1
    memory: int = 0
    disk: int = 0
    volume: int = 0
    volume_path: str = ""
    runtime: str = "runc"
    grace_s: int = 10
    reason: str = ""
    """Why it must stop, for its renter: in the signal's file, hook and log."""
    leave_by: AwareDatetime | None = None
    """When the grace of a pod that was displaced is over."""
    idle_stop_s: int | None = None
    """It stops when nothing happened in it for so long; the agent sees to it by itself too."""
    stop_at: AwareDatetime | None = None
    terminate_at: AwareDatetime | None = None
    paid_until: AwareDatetime | None = None


class Orders(Message):
    """The answer to a report: all pods of this host, and the version of this answer."""

    version: str
    pods: list[PodOrder] = []
    report_every_s: int = 10
    now: AwareDatetime | None = None
    """The market's clock: every time in the orders is by it."""


SAMPLE = 4 * 10**6
"""Bytes by which a line is measured, one way (`GET PATH/speed`) and the other (`POST`)."""


class Question(Message):
    """`POST /agent/v1/earnings`: nothing more is asked."""


class Earnings(Message):
    """What a machine has earned, after the market's fee, in micro-dollars."""

    today: int
    """Since midnight UTC."""
    month: int
    """In the last thirty days."""
    ever: int
    balance: int
    """What the owner's account has of all its machines."""
