"""The agent: two loops that share a keeper, one toward the engine and one toward the market.

Neither waits for the other. Without its market the agent goes on keeping deadlines; without its
engine it goes on reporting what it last saw. It only dials out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from puna.agent.deadman import MarketClock
from puna.agent.keeper import Keeper
from puna.agent.link import MarketGone, MarketLink, MarketRefused, NotAHost
from puna.agent.notebook import Kept, Notebook
from puna.agent.problems import EngineGone
from puna.agent.usage import Usage
from puna.agent.waiting import first_of, with_chance
from puna.errors import PunaError
from puna.units import Span
from puna.wire.agent import MachineReport, Orders, PodReport, Report, TermsReport
from puna.world import World

_LOG = logging.getLogger("puna.agent")
TURN = Span.of(seconds=2)
"""How often the engine is looked at when nothing is known to happen."""
_WAIT_S = 25
_FIRST_PAUSE, _LONGEST_PAUSE = Span.of(seconds=1), Span.of(seconds=30)
_RESERVED = 10_000
"""Numbers of reports that are used up by writing one."""
Duty = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the agent asks of its machine at each report, and does besides."""

    machine: Callable[[], MachineReport]
    terms: Callable[[], TermsReport]
    duties: Sequence[Duty] = ()
    """What runs beside the two loops, until the end."""
    usage: Callable[[], Mapping[str, Usage]] = dict


@dataclass(slots=True)
class Contact:
    """How it stands with the market, for `puna agent status`."""

    heard: datetime | None = None
    trouble: str = ""
    is_unknown: bool = False


class Agent:
    """One host of one market. `run` until cancelled."""

    def __init__(
        self,
        keeper: Keeper,
        link: MarketLink,
        clock: MarketClock,
        notebook: Notebook,
        surroundings: Surroundings,
    ) -> None:
        self._keeper = keeper
        self._link = link
        self._clock = clock
        self._world: World = clock.world
        self._notebook = notebook
        self._around = surroundings
        self._kept = notebook.kept()
        self._sequence = self._kept.sequence
        self._unsure: Mapping[str, Sequence[str]] | None = None
        """Log lines of the last report, while nobody knows whether it arrived."""
        self._orders = Orders(version="")
        self.contact = Contact()
        self.turns = 0
        self.is_waiting = False
        """Whether nothing is new here, and it waits at the market for orders."""

    async def run(self) -> None:
        """Keep this machine's pods until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_pods(group))
            group.create_task(self._keep_contact())
            for duty in self._around.duties:
                group.create_task(_as_task(duty))

    async def _keep_pods(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._keeper.nudged.clear()
            try:
                await self._keeper.turn(group)
            except EngineGone as error:
                _LOG.warning("%s", error.message)
            except PunaError as error:
                _LOG.warning("a turn failed: %s", error.message)
            self._write_down()
            self.turns += 1
            await first_of(self._world, self._pause(), self._keeper.nudged)

    def _pause(self) -> Span:
        """Until the next look: a deadline of a pod may come before."""
        deadline = self._keeper.next_deadline
        if deadline is None:
            return TURN
        left = deadline - self._clock.now()
        return min(TURN, Span.of(ms=max(1, round(left.total_seconds() * 1000))))

    async def _keep_contact(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._talk()
            except (MarketGone, MarketRefused, NotAHost) as error:
                self._note_trouble(error)
                long = isinstance(error, NotAHost | MarketRefused)
                pause = _LONGEST_PAUSE if long else pause
                await self._world.wait(with_chance(self._world, pause))
                pause = min(_LONGEST_PAUSE, Span(pause * 2))
            else:
                pause = _FIRST_PAUSE

    async def _talk(self) -> None:
        """Report what is new at once; when nothing is, wait at the market for orders."""
        self._keeper.changed.clear()
        reports = self._reports()
        orders = await self._link.report(self._report(reports))
        self._unsure = None
        self._keeper.heard(reports)
        self._take(orders)
        while not self._keeper.changed.is_set():
            began = self._world.elapsed()
            newer = await self._wait_for_orders()
            if newer is None:
                return
            is_news = newer.version != self._orders.version
            self._take(newer)
            took = Span(self._world.elapsed() - began)
            rest = Span(Span.of(seconds=newer.report_every_s) - took)
            if not is_news and rest > 0:  # a market that lets nobody wait
                await first_of(self._world, rest, self._keeper.changed)

    async def _wait_for_orders(self) -> Orders | None:
        """Wait at the market until it has others; None when something happens here meanwhile."""
        seen = self._keeper.reports(self._around.usage())
        silent = [each.model_copy(update={"log": []}) for each in seen]
        self._sequence += 1
        asking = asyncio.ensure_future(self._link.report(self._report(silent, wait_s=_WAIT_S)))
        change = asyncio.ensure_future(self._keeper.changed.wait())
        self.is_waiting = True
        try:
            await asyncio.wait({asking, change}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            self.is_waiting = False
            asking.cancel()
            change.cancel()
            await asyncio.gather(asking, change, return_exceptions=True)

    def _reports(self) -> Sequence[PodReport]:
        """Return the pods' reports. One that may have arrived is sent again with its very lines.

        The market ignores a number that it knows, so no line is lost and none is said twice.
        """
        reports = self._keeper.reports(self._around.usage())
        if self._unsure is None:
            self._sequence += 1
            self._unsure = {each.pod: list(each.log) for each in reports}
        lines = self._unsure
        return [each.model_copy(update={"log": list(lines.get(each.pod, ()))}) for each in reports]

    def _report(self, pods: Sequence[PodReport], *, wait_s: int = 0) -> Report:
        self._reserve()
        return Report(
            sequence=self._sequence,
            now=self._world.now(),
            machine=self._around.machine(),
            terms=self._around.terms(),
            pods=list(pods),
            knows=self._orders.version,
            wait_s=wait_s,
        )

    def _take(self, orders: Orders) -> None:
        self._clock.hear(orders.now)
        if self.contact.trouble:
            _LOG.info("the market answers again")
        self.contact = Contact(heard=self._world.now())
        if orders.version != self._orders.version:
            self._keeper.obey(orders)
        self._orders = orders

    def _note_trouble(self, error: PunaError) -> None:
        if self.contact.trouble != error.message:
            _LOG.warning("%s", error.message)
        self.contact.trouble = error.message
        self.contact.is_unknown = isinstance(error, NotAHost)

    def _reserve(self) -> None:
        """See to it that no number is used twice, even if the agent is killed now."""
        if self._sequence >= self._kept.sequence:
            self._write(self._keeper.kept(self._sequence + _RESERVED))

    def _write_down(self) -> None:
        self._write(self._keeper.kept(self._kept.sequence))

    def _write(self, kept: Kept) -> None:
        if kept == self._kept:
            return
        try:
            self._notebook.write(kept, self._world.token())
            self._kept = kept
        except OSError as error:  # a full disk must not stop pods from being kept
            _LOG.warning("the notebook cannot be written: %s", error.strerror)


async def _as_task(duty: Duty) -> None:
    await duty()
