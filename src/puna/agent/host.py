"""Composes an agent on this machine: everything is made once, here."""

import asyncio
import json
import logging
import resource
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from puna.agent import walls
from puna.agent.activity import LOOK, Activity
from puna.agent.agent import Agent, Surroundings
from puna.agent.calls import NoCalls, write_filter
from puna.agent.containers import House
from puna.agent.deadman import MarketClock, this_boot
from puna.agent.engine import SOCKETS, Engine
from puna.agent.farewell import farewell
from puna.agent.gaps import Means, can_limit_disk, gaps_of
from puna.agent.hands import Estate, Hands
from puna.agent.images import SWEEP, ImageWatch
from puna.agent.inventory import (
    Stock,
    Wishes,
    disk_speed,
    installed_runtimes,
    look_around,
    stock_of,
)
from puna.agent.keeper import Keeper
from puna.agent.lent import Lot
from puna.agent.limits import GLANCE, DiskWatch
from puna.agent.link import MarketLink
from puna.agent.notebook import Identity, Notebook, Offer
from puna.agent.problems import EngineGone
from puna.agent.reach import PodReach
from puna.agent.settings import AgentSettings
from puna.agent.shown import LogLine, Nature
from puna.agent.socket_line import SocketLine
from puna.agent.terms import owners_programs, programs_on_cards, range_of, terms_of
from puna.agent.tunnel import Detour, Tunnel
from puna.agent.volumes import Volumes, can_make_images
from puna.errors import Conflict, PunaError
from puna.units import Span
from puna.wire.agent import Join, MachineReport, TermsReport
from puna.wire.carried import Carried
from puna.wire.tunnel import Door, Ended, LogLine as Said, Registration, Taken
from puna.world import World

_LOG = logging.getLogger("puna.agent")
_LOOK = Span.of(seconds=30)
_STATUS = Span.of(seconds=5)
_BOUNDED = frozenset({"overlay", "overlay2"})
"""Podman's and Docker's ways to lay out disks that know quotas; containerd's knows none."""
_MOST_FILES = 1024 * 1024
_MOST_PROCESSES = 4096


class AlreadyRuns(Conflict):
    """An agent runs on this machine already."""

    code = "agent_runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a machine could lend, before anybody was told."""

    nature: Nature
    stock: Stock
    gaps: Sequence[str]


def socket_of(settings: AgentSettings) -> Path:
    """Return where the engine listens. Raises `EngineGone`."""
    if settings.engine:
        return Path(settings.engine.removeprefix("unix://"))
    found = next((each for each in SOCKETS if each.exists()), None)
    if found is None:
        raise EngineGone(
            "no container engine is found",
            hint="start Podman's with `systemctl enable --now podman.socket`, or name its socket"
            " in PUNA_AGENT_ENGINE",
        )
    return found


def means_of(nature: Nature) -> Means:
    """Return what this machine has to hold renters by."""
    mounts = Path("/proc/mounts")
    text = mounts.read_text(encoding="utf-8") if mounts.exists() else ""
    return Means(
        why_no_walls=walls.why_no_walls(),
        has_images=can_make_images(),
        limits_disk=nature.storage in _BOUNDED and can_limit_disk(nature.folder, text),
    )


async def survey(settings: AgentSettings, world: World, wishes: Wishes) -> Survey:
    """Look at the engine and the machine. Raises `EngineGone`."""
    async with Engine(socket_of(settings)) as engine:
        nature = await engine.nature()
    found = await asyncio.to_thread(look_around, nature)
    stock = stock_of(found, wishes)
    speed = await asyncio.to_thread(disk_speed, nature.folder, world.elapsed)
    machine = stock.machine.model_copy(update={"disk_mbps": speed})
    stock = Stock(machine=machine, cards=stock.cards, remarks=stock.remarks)
    return Survey(nature=nature, stock=stock, gaps=gaps_of(nature, means_of(nature)))


async def join(notebook: Notebook, world: World, identity: Identity, offer: Offer) -> Identity:
    """Join a market with the token that stands where the key will. Raises as `MarketLink`."""
    request = Join(
        token=identity.key, name=identity.name, machine=offer.machine, terms=terms_of(offer)
    )
    async with MarketLink(identity.market) as link:
        joined = await link.join(request)
    notebook.write(offer, world.token())
    known = identity.model_copy(update={"host": joined.host, "key": joined.key})
    notebook.write(known, world.token())
    async with MarketLink(identity.market, joined.key) as link:
        down, up = await link.speed(world.elapsed)
    machine = offer.machine.model_copy(update={"down_mbps": down, "up_mbps": up})
    notebook.write(offer.model_copy(update={"machine": machine}), world.token())
    return known


async def run_host(settings: AgentSettings, notebook: Notebook, world: World) -> None:
    """Run the agent until cancelled. Raises `NotJoined`, `AlreadyRuns`, `EngineGone`."""
    identity = notebook.identity()
    lock = FileLock(notebook.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyRuns("an agent runs on this machine already") from error
    try:
        async with (
            Engine(socket_of(settings)) as engine,
            MarketLink(identity.market, identity.key) as link,
        ):
            host = Host(settings, notebook, world, engine, link)
            await host.run(identity)
    finally:
        lock.release()


class Host:
    """The parts of one running agent, and what it does beside keeping pods."""

    def __init__(
        self,
        settings: AgentSettings,
        notebook: Notebook,
        world: World,
        engine: Engine,
        link: MarketLink,
    ) -> None:
        self._settings = settings
        self._notebook = notebook
        self._world = world
        self._engine = engine
        self._link = link
        self._offer = notebook.offer()
        self._is_used = False
        self._has_runtimes: Sequence[str] = ()

    async def run(self, identity: Identity) -> None:
        """Run until cancelled."""
        nature = await self._engine.nature()
        self._has_runtimes = installed_runtimes(nature)
        if not lent_runtimes(self._offer, self._has_runtimes):
            _LOG.warning("the engine has no runtime of those offered: leave the market, join again")
        means = means_of(nature)
        await self._engine.make_network(self._settings.network)
        if not means.why_no_walls:
            await self._put_up_walls()
        calls = await self._filter() if nature.is_podman else None
        keeper, clock = self._keeper(identity, nature, means, calls)
        keeper.last_words = self._keep_log
        activity = Activity(self._world, self._engine, keeper)
        reach = PodReach(self._world, self._engine, keeper, activity.note)
        detour = Detour(self._open_socket, self._link.is_proxied)
        tunnel = Tunnel(self._world, reach, self._find_door, detour=detour)
        duties: list[Callable[[], Awaitable[None]]] = [
            self._every(_STATUS, self._look_at_the_owner),
            self._every(LOOK, activity.look),
            tunnel.run,
        ]
        images = ImageWatch(self._world, self._engine, keeper, self._settings.images)
        duties.append(self._every(SWEEP, images.look))
        disk = DiskWatch(self._world, self._engine, keeper, nature.folder)
        duties.append(self._every(GLANCE, disk.glance))
        if not means.why_no_walls:
            duties.append(self._every(_LOOK, self._see_to_walls))
        around = Surroundings(
            machine=self._machine,
            terms=self._terms,
            duties=duties,
            usage=activity.usage,
        )
        agent = Agent(keeper, self._link, clock, self._notebook, around)
        async with asyncio.TaskGroup() as group:
            group.create_task(agent.run())
            group.create_task(self._tell_status(agent, keeper, identity, images, tunnel))

    async def _filter(self) -> Path | None:
        """Write which system calls pods may make; where that fails, the engine's own stays."""
        own = await self._engine.own_filter()
        if own is None:
            return None
        try:
            return await asyncio.to_thread(write_filter, own, self._notebook.folder)
        except NoCalls as error:
            _LOG.warning("%s", error.message)
            return None

    def _keeper(
        self, identity: Identity, nature: Nature, means: Means, calls: Path | None
    ) -> tuple[Keeper, MarketClock]:
        kept = self._notebook.kept()
        clock = MarketClock(self._world, kept.clock, boot=this_boot())
        house = House(
            host=identity.host,
            network=self._settings.network,
            open_files=_within(resource.RLIMIT_NOFILE, _MOST_FILES),
            processes=_within(resource.RLIMIT_NPROC, _MOST_PROCESSES),
            calls=calls,
            is_podman=nature.is_podman,
            runtimes=lent_runtimes(self._offer, self._has_runtimes),
            limits_disk=means.limits_disk,
        )
        folder = self._settings.volumes or self._notebook.folder / "volumes"
        ports = range_of(self._offer.open_ports)
        estate = Estate(
            house=house,
            cards=self._offer.cards,
            ports=ports,
            lent=Lot.of(self._offer.machine),
            has_registries=self._settings.local_registries,
        )
        root = None if nature.is_podman else nature.first_user
        volumes = Volumes(
            self._engine, identity.host, folder, has_images=means.has_images, root=root
        )
        hands = Hands(clock, self._engine, estate, volumes)
        hands.farewell = farewell(self._engine, self._link)
        local = self._settings.local_images
        return Keeper(self._engine, hands, clock, kept, trusts_local=local), clock

    def _machine(self) -> MachineReport:
        lent = lent_runtimes(self._offer, self._has_runtimes)
        return self._offer.machine.model_copy(update={"runtimes": list(lent)})

    def _terms(self) -> TermsReport:
        return terms_of(self._offer, is_used=self._is_used)

    def _every(
        self, span: Span, act: Callable[[], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        async def again() -> None:
            while True:
                try:
                    await act()
                except PunaError as error:
                    _LOG.warning("%s", error.message)
                await self._world.wait(span)

        return again

    async def _look_at_the_owner(self) -> None:
        """Read the offer again, which its owner may have changed, and look at the cards."""
        self._offer = self._notebook.offer()
        if self._offer.yields and self._offer.cards:
            pids = await asyncio.to_thread(programs_on_cards)
            ours = [each.container.id for each in await self._engine.containers()]
            self._is_used = owners_programs(pids, ours)

    async def _see_to_walls(self) -> None:
        bridge = await self._engine.network(self._settings.network)
        if not await walls.are_up(bridge.interface):
            _LOG.warning("the wall around pods was taken down: it is put up again")
            await self._put_up_walls()

    async def _put_up_walls(self) -> None:
        bridge = await self._engine.network(self._settings.network)
        gap = await walls.put_up(
            walls.Walls(
                bridge=bridge.interface,
                subnets=bridge.subnets,
                gateways=bridge.gateways,
                networks=walls.own_networks([bridge.interface]),
                resolvers=walls.name_servers(),
                open_ports=self._offer.open_ports,
            )
        )
        if gap:
            _LOG.warning("%s", gap)

    async def _find_door(self, public_key: str) -> Door:
        door = await self._link.ask("/tunnel", Registration(public_key=public_key), Door)
        if door.host:
            return door
        return door.model_copy(update={"host": urlsplit(self._link.market).hostname or ""})

    async def _open_socket(self) -> Carried:
        return SocketLine(await self._link.socket()).carried

    async def _keep_log(self, pod: str, run: int, lines: Sequence[LogLine]) -> None:
        """Let the market keep what a container wrote that is about to go."""
        said = [Said(at=each.at, text=each.text) for each in lines]
        await self._link.ask("/log", Ended(pod=pod, run=run, lines=said), Taken)

    async def _tell_status(
        self, agent: Agent, keeper: Keeper, identity: Identity, images: ImageWatch, tunnel: Tunnel
    ) -> None:
        while True:
            status = dict(status_of(agent, keeper, identity, self._terms(), self._world.now()))
            status["tunnel"] = {"links": tunnel.links, "way": tunnel.ways.known}
            status["images"] = asdict(images.unused) | {"limit": self._settings.images}
            with suppress(OSError):
                self._notebook.write_status(json.dumps(status), self._world.token())
            await self._world.wait(_STATUS)


def status_of(
    agent: Agent, keeper: Keeper, identity: Identity, terms: TermsReport, now: datetime
) -> Mapping[str, object]:
    """Return what `puna agent status` shows."""
    heard = agent.contact.heard
    return {
        "at": now.isoformat(),
        "host": identity.host,
        "market": identity.market,
        "heard": heard.isoformat() if heard else None,
        "trouble": agent.contact.trouble,
        "is_unknown": agent.contact.is_unknown,
        "engine_is_gone": keeper.engine_is_gone,
        "is_paused": terms.is_paused,
        "pods": [
            {"pod": each.pod, "run": each.run, "state": each.observed, "reason": each.reason}
            for each in keeper.reports()
        ],
    }


def lent_runtimes(offer: Offer, here: Sequence[str]) -> tuple[str, ...]:
    """Return the runtimes that were offered and that the engine still has. Pure."""
    return tuple(each for each in offer.machine.runtimes if each in here)


def usual_name() -> str:
    """Return what this machine is called."""
    return socket.gethostname()[:64] or "host"


def _within(kind: int, most: int) -> int:
    """Return the most of something that this process may let another have."""
    _, hard = resource.getrlimit(kind)
    return most if hard == resource.RLIM_INFINITY else min(most, hard)
