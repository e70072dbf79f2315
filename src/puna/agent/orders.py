"""What the market orders, as values of the agent's; nothing that it says is taken on trust."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from puna.agent.containers import USUAL_RUNTIME, Design, UnusablePod, check_image, words_of
from puna.agent.converge import Order, Want
from puna.agent.shown import Login
from puna.units import Size
from puna.wire.agent import PodOrder

_LONGEST_GRACE = timedelta(minutes=10)
_LONGEST_S = 100 * 365 * 86_400
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_LONGEST_NAME = 64
_MOST_PORTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One pod as ordered: what should be, and what it is made from.

    The order's image is the image with a mark of who may pull it: an image that one renter's login
    fetched is not there for another.
    """

    order: Order
    design: Design
    disk: Size = Size(0)  # noqa: RUF009 - an integer
    volume: Size = Size(0)  # noqa: RUF009 - an integer
    login: Login | None = None
    leave_by: datetime | None = None
    """When the grace of a pod that was displaced is over."""
    reason: str = ""
    tcp_ports: tuple[int, ...] = ()
    """Those of its ports that are to be reached past the market, where that can be."""
    flaw: str = ""
    """Why no container can be made of it; it is given up at once."""


def told_of(pod: PodOrder) -> Told:
    """Return one pod's order."""
    design, login = design_of(pod), login_of(pod)
    order = Order(
        pod=pod.pod,
        run=pod.run,
        want=Want(pod.want) if pod.want in set(Want) else Want.STOP,
        image=f"{pod.image} {mark_of(login)}".rstrip(),
        design=design.digest,
        grace=min(_LONGEST_GRACE, timedelta(seconds=max(0, pod.grace_s))),
        stop_at=pod.stop_at,
        terminate_at=pod.terminate_at,
        paid_until=pod.paid_until,
        idle_stop=_span_of(pod.idle_stop_s),
    )
    return Told(
        order=order,
        design=design,
        disk=Size(pod.disk),
        volume=Size(pod.volume),
        login=login,
        leave_by=pod.leave_by,
        reason=pod.reason,
        tcp_ports=_numbers(port for port in pod.ports if port.endswith("/tcp")),
        flaw=flaw_of(pod),
    )


def _span_of(seconds: int | None) -> timedelta | None:
    """Return a length of time that was ordered; one that no clock can hold is for ever."""
    return None if seconds is None or seconds > _LONGEST_S else timedelta(seconds=seconds)


def told_by_pod(pods: Sequence[PodOrder]) -> Mapping[str, Told]:
    """Return all orders. A name that could be a path or an option is left out."""
    return {each.pod: told_of(each) for each in pods if is_name(each.pod)}


def is_name(pod: str) -> bool:
    """Return whether a pod's name can be a container's, a volume's and a file's."""
    return 0 < len(pod) <= _LONGEST_NAME and set(pod) <= _NAME and pod[0].isalnum()


def design_of(pod: PodOrder) -> Design:
    """Return what a pod's container is made from."""
    return Design(
        image=pod.image,
        args=pod.args,
        entrypoint=tuple(pod.entrypoint),
        env=dict(pod.env),
        ports=_numbers(pod.ports),
        cards=pod.cards,
        processors=pod.processors,
        memory=Size(pod.memory),
        volume_path=pod.volume_path if pod.volume else "",
        runtime="" if pod.runtime == USUAL_RUNTIME else pod.runtime,
    )


def _numbers(ports: Iterable[str]) -> tuple[int, ...]:
    numbers = (port.partition("/")[0] for port in ports)
    return tuple(int(number) for number in numbers if number.isascii() and number.isdigit())


def flaw_of(pod: PodOrder) -> str:
    """Return why no container can be made of a pod; empty if one can."""
    if pod.memory <= 0 or pod.processors < 1 or pod.cards < 0:
        return "it asks for no memory or no processor"
    if len(pod.ports) > _MOST_PORTS:
        return f"it asks for {len(pod.ports)} ports, each a door of this machine"
    try:
        check_image(pod.image)
        words_of(pod.args)
    except UnusablePod as error:
        return error.message
    return ""


def login_of(pod: PodOrder) -> Login | None:
    """Return who may pull a pod's image."""
    if pod.credential is None:
        return None
    return Login(username=pod.credential.username, password=pod.credential.password)


def mark_of(login: Login | None) -> str:
    """Return what may be written of a login: a digest, and nothing for none."""
    if login is None:
        return ""
    text = f"{len(login.username)}:{login.username}{login.password}"
    return hashlib.sha256(text.encode()).hexdigest()
