"""An agent's keeper over an engine in memory: what the tests of this folder share."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from puna.agent.containers import House
from puna.agent.deadman import MarketClock
from puna.agent.engine import Engine
from puna.agent.hands import Estate, Hands
from puna.agent.keeper import Keeper
from puna.agent.lent import Lot
from puna.agent.notebook import Kept
from puna.agent.volumes import Volumes
from puna.units import Span
from puna.wire.agent import Orders, PodOrder, PodReport
from tests.fakes.container_engine import ContainerEngine
from tests.worlds import FakeWorld

HOST = "h1"
IMAGE = "reg.example/img:1"


def an_order(pod: str = "p1", **changes: object) -> PodOrder:
    """An order to run a pod, changed as said."""
    order = PodOrder(pod=pod, run=1, want="run", image=IMAGE, memory=10**9, ports=["8888/http"])
    return order.model_copy(update=changes)


@dataclass
class Host:
    """A machine: its engine, and the agent of the moment."""

    world: FakeWorld
    there: ContainerEngine
    engine: Engine
    folder: Path
    cards: Sequence[str] = ("nvidia.com/gpu=0", "nvidia.com/gpu=1")
    trusts_local: bool = False
    has_images: bool = False
    """Whether volumes are file systems that the engine mounts."""
    has_registries: bool = True
    """Whether registries may be anywhere; else their names are looked up."""
    lent: Lot | None = None
    """What pods may take in all; None for whatever is ordered."""
    ports: range = range(0)
    """Ports that the owner has opened to everybody."""
    orders: Orders = field(default_factory=lambda: Orders(version="0"))
    keeper: Keeper = field(init=False)

    def __post_init__(self) -> None:
        self.keeper = self.new_keeper(Kept())

    def new_keeper(self, kept: Kept) -> Keeper:
        clock = MarketClock(self.world)
        estate = Estate(
            house=House(host=HOST),
            cards=self.cards,
            ports=self.ports,
            lent=self.lent,
            has_registries=self.has_registries,
        )
        volumes = Volumes(self.engine, HOST, self.folder, has_images=self.has_images)
        hands = Hands(clock, self.engine, estate, volumes)
        return Keeper(self.engine, hands, clock, kept, trusts_local=self.trusts_local)

    def restart(self) -> None:
        """Kill the agent and start it again, before the market has said a word."""
        self.keeper = self.new_keeper(self.keeper.kept(0))

    def order(self, *orders: PodOrder) -> None:
        self.orders = Orders(version=f"{int(self.orders.version) + 1}", pods=list(orders))
        self.keeper.obey(self.orders)

    async def turn(self) -> None:
        """Take a turn and let every step that it began come to its end."""
        async with asyncio.TaskGroup() as group:
            await self.keeper.turn(group)

    async def turns(self, times: int = 8, *, apart_s: float = 1) -> None:
        for _ in range(times):
            await self.turn()
            await self.pass_time(apart_s)

    async def pass_time(self, seconds: float) -> None:
        await self.world.advance(Span.of(seconds=seconds))

    async def report(self, pod: str = "p1") -> PodReport:
        """Look, and return what is reported of a pod."""
        await self.turn()
        return next(each for each in self.keeper.reports() if each.pod == pod)

    def in_(self, seconds: float) -> object:
        """Return a moment that is so far away."""
        return self.world.now() + timedelta(seconds=seconds)


@asynccontextmanager
async def a_host(folder: Path, **changes: object) -> AsyncIterator[Host]:
    """Serve an engine that can pull `IMAGE`, with an agent's keeper over it."""
    world = FakeWorld()
    there, socket = ContainerEngine(world), folder / "engine.sock"
    there.registry.add(IMAGE)
    async with there.served(socket), Engine(socket) as engine:
        yield Host(world, there, engine, folder, **changes)  # type: ignore[arg-type]
