"""What an agent must still know after it was killed: files that only its owner reads.

What runs is not among it: that is read back from the containers. Who the agent is was written when
it joined; what it offers is its owner's to change while it runs; what it keeps to when it is cut
off from the market, and nothing of what is in a pod, is written whenever that changes.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from puna.agent.converge import Order, Want
from puna.agent.deadman import Reading
from puna.errors import Conflict, Failed, NotFound
from puna.node.private import make_folder, write_private
from puna.wire.agent import MachineReport

_MINUTE_S = 60
_IDENTITY, _OFFER, _KEPT, _STATUS = "identity.json", "offer.json", "kept.json", "status.json"


class NotJoined(NotFound):
    """This machine has joined no market."""

    code = "not_joined"


class HasJoined(Conflict):
    """This machine has joined a market already."""

    code = "has_joined"


class UnreadableNotebook(Failed):
    """A file of the agent's is not what it wrote."""

    code = "unreadable_notebook"


class Page(BaseModel):
    """A file."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Identity(Page):
    """Who this machine is for its market."""

    market: str
    host: str
    key: str
    name: str


class Offer(Page):
    """What its owner asks for and allows."""

    price: int
    least_bid: int | None = None
    opens: str = ""
    closes: str = ""
    """`HH:MM` in UTC; empty for always."""
    machine: MachineReport = MachineReport(processors=1, memory=0, disk=0)
    """What is lent, as it was measured when the machine joined."""
    cards: list[str] = []
    """By their CDI names."""
    open_ports: str = ""
    """Of this machine, that lead to pods from everywhere, such as `40000-40999`."""
    is_paused: bool = False
    yields: bool = False
    """Whether the offer pauses while something of the owner's uses a card."""
    accepts_gaps: bool = False
    """Whether the owner was told what is not enforced here, and goes on."""


class KeptOrder(Page):
    """What holds for a pod when the market is away: its deadlines."""

    pod: str
    run: int
    want: str
    design: str
    grace_s: int
    stop_at: datetime | None = None
    terminate_at: datetime | None = None
    paid_until: datetime | None = None
    idle_stop_s: int | None = None
    idled_s: int = 0
    """For how long nobody has used it, as far as it was looked at, in whole minutes."""
    is_idle: bool = False
    """This run of it was stopped for that, and does not begin again."""


class Kept(Page):
    """What is known of the market's last word."""

    sequence: int = 0
    orders: list[KeptOrder] = []
    pulled: list[str] = []
    """Images that we fetched, each with a digest of the login that it took."""
    fetched: dict[str, datetime | None] = {}
    """Those that were not here before, and since when no pod needs them."""
    clock: Reading | None = None
    """What the market's clock showed."""


_P = TypeVar("_P", bound=Page)


class Notebook:
    """The files, in a folder of the agent's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "agent.lock"

    def identity(self) -> Identity:
        """Return who this machine is. Raises `NotJoined`, `UnreadableNotebook`."""
        found = self._read(_IDENTITY, Identity)
        if found is None:
            raise _not_joined()
        return found

    @property
    def has_joined(self) -> bool:
        """Whether there is an identity."""
        return (self.folder / _IDENTITY).exists()

    def offer(self) -> Offer:
        """Return what is offered. Raises `NotJoined`, `UnreadableNotebook`."""
        found = self._read(_OFFER, Offer)
        if found is None:
            raise _not_joined()
        return found

    def kept(self) -> Kept:
        """Return what the agent knew; nothing where the file is lost, which harms nobody."""
        with suppress(UnreadableNotebook):
            return self._read(_KEPT, Kept) or Kept()
        return Kept()

    def status(self) -> str:
        """Return what the agent last said of itself, as JSON; empty if it never ran."""
        with suppress(OSError):
            return (self.folder / _STATUS).read_text(encoding="utf-8")
        return ""

    def write(self, page: Identity | Offer | Kept, mark: str) -> None:
        """Write a file, whole or not at all. `mark` names its draft."""
        names: Mapping[type[Page], str] = {Identity: _IDENTITY, Offer: _OFFER, Kept: _KEPT}
        self._write(names[type(page)], page.model_dump_json(), mark)

    def write_status(self, text: str, mark: str) -> None:
        """Write what the agent says of itself."""
        self._write(_STATUS, text, mark)

    def forget(self) -> None:
        """Remove everything: this machine is nobody's host any more."""
        for name in (_IDENTITY, _OFFER, _KEPT, _STATUS):
            (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, text: str, mark: str) -> None:
        make_folder(self.folder)
        write_private(self.folder / name, text.encode(), mark=mark)

    def _read(self, name: str, kind: type[_P]) -> _P | None:
        try:
            return kind.model_validate_json((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise UnreadableNotebook(
                f"{self.folder / name} cannot be read", hint="leave the market and join it again"
            ) from error


def _not_joined() -> NotJoined:
    return NotJoined(
        "this machine has joined no market",
        hint="join one with `puna agent join ADDRESS --price DOLLARS`",
    )


def keep(order: Order, idled: timedelta = timedelta(0), *, is_idle: bool = False) -> KeptOrder:
    """Return what is written of an order."""
    stop = order.idle_stop
    return KeptOrder(
        pod=order.pod,
        run=order.run,
        want=order.want.value,
        design=order.design,
        grace_s=int(order.grace.total_seconds()),
        stop_at=order.stop_at,
        terminate_at=order.terminate_at,
        paid_until=order.paid_until,
        idle_stop_s=None if stop is None else int(stop.total_seconds()),
        idled_s=int(idled.total_seconds()) // _MINUTE_S * _MINUTE_S,
        is_idle=is_idle,
    )


def recall(kept: KeptOrder) -> Order:
    """Return the order of which that was written. Its image is not known any more."""
    return Order(
        pod=kept.pod,
        run=kept.run,
        want=Want(kept.want),
        image="",
        design=kept.design,
        grace=timedelta(seconds=kept.grace_s),
        stop_at=kept.stop_at,
        terminate_at=kept.terminate_at,
        paid_until=kept.paid_until,
        idle_stop=None if kept.idle_stop_s is None else timedelta(seconds=kept.idle_stop_s),
    )
