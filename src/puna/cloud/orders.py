"""What a renter orders, as one value, and the request that it becomes on each cloud.

RunPod refuses properties that it does not know, so what only puna has travels in one object named
`puna`, and is refused here, before anything is sent, where the cloud is RunPod's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from puna.cloud.values import Card
from puna.errors import Invalid, NotFound, Unsupported
from puna.units import Money

_STORED_A_MONTH = Money(100_000)
_MONTH_HOURS = 730


class NotThere(Unsupported):
    """This cloud has nothing of the kind."""

    code = "not_on_this_cloud"


class InvalidOrder(Invalid):
    """What is ordered cannot be had anywhere."""

    code = "invalid_order"


class NoSuchCard(NotFound):
    """The cloud's catalog has no such card."""

    code = "no_such_card"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What only puna's markets have. Names are those of the wire, in our manner."""

    tenure: str = ""
    bid: str = ""
    returns: bool = False
    project: str = ""
    stop_after: str = ""
    terminate_after: str = ""
    idle_stop: str = ""
    budget: str = ""
    min_memory_gb: int = 0
    min_vcpu: int = 0
    min_download_mbps: int = 0
    min_upload_mbps: int = 0
    min_disk_mbps: int = 0
    countries: tuple[str, ...] = ()
    public_ip: bool = False
    runtime: str = ""
    ceiling: str = ""
    access: Mapping[str, str] = field(default_factory=dict)

    @property
    def given(self) -> dict[str, object]:
        """Those that are set, by their names on the wire."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {_wire_name(name): _plain(name, value) for name, value in found.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A pod as it is ordered. Sizes are gigabytes; zero and empty leave it to the template."""

    name: str
    image: str = ""
    template: str = ""
    cards: tuple[str, ...] = ()
    """Ids that do."""
    count: int = 1
    processors: int = 0
    """For a pod without a card."""
    flavour: str = "cpu3g"
    cloud: str = ""
    data_centers: tuple[str, ...] = ()
    cuda: str = ""
    disk_gb: int = 0
    volume_gb: int = 0
    volume_path: str = "/workspace"
    args: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    registry: str = ""
    starts_ssh: bool = False
    starts_jupyter: bool = False
    extras: Extras = field(default_factory=Extras)


def body_of(order: Order, *, is_puna: bool) -> dict[str, object]:
    """Return the request that makes the pod. Raises `InvalidOrder`, `NotThere`."""
    if not order.image and not order.template:
        raise InvalidOrder("a pod needs an image or a template", hint="see: puna templates")
    extras = order.extras.given
    if is_puna and len(order.cards) > 1:
        extras["gpuTypeIds"] = list(order.cards)
    if extras and not is_puna:
        raise NotThere(f"RunPod has no {', '.join(sorted(extras))}: leave it out")
    body: dict[str, object] = {
        "name": order.name,
        "image": order.image,
        "templateId": order.template,
        **_computes(order),
        "cloud": order.cloud,
        "dataCenterIds": list(order.data_centers),
        "disk": order.disk_gb,
        "args": order.args,
        "env": dict(order.env),
        "ports": list(order.ports),
        "registry": order.registry,
        "startSsh": order.starts_ssh,
        "startJupyter": order.starts_jupyter,
        "puna": extras,
    }
    if order.volume_gb:
        body["mounts"] = {"persistent": {"size": order.volume_gb, "path": order.volume_path}}
    return {name: value for name, value in body.items() if value}


def _computes(order: Order) -> dict[str, object]:
    if order.processors:
        return {"cpu": {"id": order.flavour, "vcpuCount": order.processors}}
    if not order.cards:
        raise InvalidOrder("say which card: --card, or --cpus for a pod without one")
    gpu: dict[str, object] = {"id": order.cards[0], "count": order.count}
    return {"gpu": gpu | ({"minCudaVersion": order.cuda} if order.cuda else {})}


def _wire_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _plain(name: str, value: object) -> object:
    if name in {"bid", "budget", "ceiling"}:
        return Money.parse(str(value)) / 10**6
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def choose_cards(words: Sequence[str], memory_gb: int, known: Sequence[Card]) -> tuple[str, ...]:
    """Return the ids of cards that were asked for by id, name or part of it, or by memory.

    Raises `NoSuchCard`.
    """
    if not words:
        found = [each.id for each in known if memory_gb and each.memory >= memory_gb]
        if memory_gb and not found:
            raise NoSuchCard(f"no card here has {memory_gb} GB", hint=_have(known))
        return tuple(found)
    chosen: list[str] = []
    for word in words:
        named = [each.id for each in known if _is_named(word, each)]
        alike = [each.id for each in known if _bare(word) in _bare(each.name)]
        if not (found := named or alike):
            raise NoSuchCard(f'no card here is a "{word}"', hint=_have(known))
        chosen += [each for each in found if each not in chosen]
    small = {each.id for each in known if each.memory < memory_gb}
    return tuple(each for each in chosen if each not in small)


def _is_named(word: str, card: Card) -> bool:
    return _bare(word) in {_bare(card.id), _bare(card.name)}


def _bare(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


def _have(known: Sequence[Card]) -> str:
    names = ", ".join(sorted({each.name for each in known}))
    return f"there are: {names}" if names else "there are none at all"


def hour_on_runpod(order: Order, known: Sequence[Card]) -> Money | None:
    """Return what an hour costs by RunPod's catalog and its price of disks; None if unknown."""
    price_by_card = {each.id: each.price_in(order.cloud or "SECURE") for each in known}
    price = price_by_card.get(order.cards[0]) if order.cards else None
    if price is None:
        return None
    disks = (order.disk_gb or 20) + order.volume_gb
    return Money(price * order.count + -(-_STORED_A_MONTH * disks // _MONTH_HOURS))
