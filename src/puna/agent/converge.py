"""From what should be and what is: the next steps. Pure, and harmless to repeat.

What is comes from the labels of containers alone, so an agent that was killed anywhere goes on as
if it had not been. Each answer holds only steps that may be taken now; taking them and asking again
leads to no steps. A pod's own deadlines count without the market: cut off from it, what must stop
still stops. Containers that carry our label and belong to no order are orphans: they are stopped
and removed, and their volumes stay until the operator says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

MOST_CRASHES = 5
"""How often a container may end by itself in a row before the host gives the pod up."""
MOST_PULLS = 3
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(minutes=5)
_HEALTHY_AFTER = timedelta(minutes=10)
"""A container that ran for so long has not crashed in a row."""


class Want(StrEnum):
    """What a pod should be."""

    RUN = "run"
    STOP = "stop"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the market wants of one pod on this host."""

    pod: str
    run: int
    """Counts starts and restarts; a container of an earlier run must make way."""
    want: Want
    image: str
    design: str
    """A digest of everything that the container is made from; another digest, another container."""
    grace: timedelta = timedelta(seconds=10)
    stop_at: datetime | None = None
    terminate_at: datetime | None = None
    paid_until: datetime | None = None
    """The market moves it on with every tick; when it lies behind, the pod stops by itself."""
    idle_stop: timedelta | None = None
    """It stops when it was used by nobody for so long; whoever looks at its use sees to it."""


class Phase(StrEnum):
    """What a container does."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container with our label, as the engine shows it."""

    id: str
    pod: str
    run: int
    design: str
    phase: Phase
    crashes: int = 0
    """How often in a row the ones before it ended by themselves."""
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """How far an image is that is not here yet."""

    is_running: bool = False
    failures: int = 0
    failed: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that is on this machine."""

    containers: Sequence[Container] = ()
    images: frozenset[str] = frozenset()
    pulls: Mapping[str, Pulled] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    """Pods that have a volume here."""


@dataclass(frozen=True, slots=True)
class Pull:
    """Fetch an image."""

    pod: str
    image: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make the pod's container, not yet running."""

    pod: str
    run: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Start:
    """Let a container begin."""

    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask a container to end, and end it after the grace."""

    pod: str
    container: str
    grace: timedelta


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that has ended."""

    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    """Remove what a terminated pod has kept."""

    pod: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the market that this pod cannot run here. Nothing is changed."""

    pod: str
    run: int
    reason: str


Step = Pull | Create | Start | Stop | Remove | RemoveVolume | GiveUp


def steps(orders: Iterable[Order], scene: Scene, now: datetime) -> tuple[Step, ...]:
    """Return what may be done now, pod by pod."""
    by_pod = {order.pod: order for order in orders}
    found: dict[str, list[Container]] = {}
    for container in scene.containers:
        found.setdefault(container.pod, []).append(container)
    todo: list[Step] = []
    for pod in sorted({*by_pod, *found}):
        order = by_pod.get(pod)
        containers = sorted(found.get(pod, ()), key=_newest_first)
        if order is None:
            todo += _end(containers, timedelta(seconds=10))
        else:
            todo += _for_pod(order, containers, scene, now)
    return tuple(todo)


def wish_now(order: Order, now: datetime) -> Want:
    """Return what a pod should be by its order and by its own deadlines."""
    if order.want is Want.TERMINATE or _is_over(order.terminate_at, now):
        return Want.TERMINATE
    is_over = _is_over(order.stop_at, now) or _is_over(order.paid_until, now)
    return Want.STOP if order.want is Want.STOP or is_over else Want.RUN


def pause_after(crashes: int) -> timedelta:
    """Return how long to wait before a container that ended by itself begins again."""
    if crashes <= 0:
        return timedelta(0)
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * (1 << min(crashes - 1, 8)))


def crashes_after(container: Container) -> int:
    """Return how many ends in a row there are with that of `container`."""
    ran = (container.ended - container.started) if container.ended and container.started else None
    return 1 if ran is not None and ran >= _HEALTHY_AFTER else container.crashes + 1


def _is_over(deadline: datetime | None, now: datetime) -> bool:
    return deadline is not None and now >= deadline


def _newest_first(container: Container) -> tuple[int, int, str]:
    return (-container.run, -container.crashes, container.id)


def _for_pod(
    order: Order, containers: Sequence[Container], scene: Scene, now: datetime
) -> Iterator[Step]:
    wish = wish_now(order, now)
    if wish is Want.RUN:
        yield from _toward_running(order, containers, scene, now)
        return
    yield from _end(containers, order.grace)
    if wish is Want.TERMINATE and not containers and order.pod in scene.volumes:
        yield RemoveVolume(order.pod)


def _end(containers: Sequence[Container], grace: timedelta) -> Iterator[Step]:
    for each in containers:
        if each.phase is Phase.RUNNING:
            yield Stop(each.pod, each.id, grace)
        else:
            yield Remove(each.pod, each.id)


def _toward_running(
    order: Order, containers: Sequence[Container], scene: Scene, now: datetime
) -> Iterator[Step]:
    mine = next((each for each in containers if _is_of(order, each)), None)
    others = [each for each in containers if each is not mine]
    yield from _end(others, order.grace)
    if others:  # two containers of one pod would share its cards and its volume
        return
    if mine is None:
        yield from _toward_creating(order, scene, now)
    elif mine.phase is Phase.CREATED:
        yield Start(order.pod, mine.id)
    elif mine.phase is Phase.EXITED:
        yield from _after_its_end(order, mine, now)


def _is_of(order: Order, container: Container) -> bool:
    return container.run == order.run and container.design == order.design


def _toward_creating(order: Order, scene: Scene, now: datetime) -> Iterator[Step]:
    if order.image in scene.images:
        yield Create(order.pod, order.run, 0)
        return
    pull = scene.pulls.get(order.image, Pulled())
    if pull.is_running:
        return
    if pull.failures >= MOST_PULLS:
        yield GiveUp(order.pod, order.run, f"the image cannot be had: {pull.reason}")
    elif pull.failed is None or now >= pull.failed + pause_after(pull.failures):
        yield Pull(order.pod, order.image)


def _after_its_end(order: Order, container: Container, now: datetime) -> Iterator[Step]:
    """Make the next container when the pause is over; it is the one that counts this end.

    It is made before the old one goes, so that an agent killed in between forgets no crash.
    """
    crashes = crashes_after(container)
    if crashes >= MOST_CRASHES:
        reason = f"the container ended {crashes} times in a row, last with {container.exit_code}"
        yield GiveUp(order.pod, order.run, reason)
    elif container.ended is None or now >= container.ended + pause_after(crashes):
        yield Create(order.pod, order.run, crashes)
