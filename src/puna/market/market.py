"""One process of a market: what its routes and loops share."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from puna.market.actions.hosting import Office
from puna.market.actions.orders import Dispatch
from puna.market.bells import Bells, Waiting
from puna.market.clock import SteadyWorld
from puna.market.db.database import Database
from puna.market.db.sealing import Seal
from puna.market.domain.rules import Rules
from puna.market.loops.meter_usage import Tariff
from puna.market.settings import MarketSettings
from puna.market.tally import Tally
from puna.units import Span
from puna.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The database, the clock, the prices and the settings; no state but who waits."""

    database: Database
    world: World
    tariff: Tariff
    settings: MarketSettings
    seal: Seal
    """Closes what renters keep here and nobody may read: secrets and credentials."""
    bells: Bells = field(default_factory=Bells)
    waiting: Waiting = field(default_factory=Waiting)
    """The hosts whose reports wait for an answer."""
    tally: Tally = field(default_factory=Tally)
    since: datetime | None = None
    """When this process began; None for longer ago than matters."""

    @property
    def apart(self) -> timedelta:
        """How far the machine's clock is ahead of the market's time."""
        return self.world.apart if isinstance(self.world, SteadyWorld) else timedelta(0)

    def nudge(self) -> None:
        """Let the loops look now, and hosts that wait be told, in every process."""
        self.bells.hear()
        self.bells.abroad.ring()

    def tell_hosts(self) -> None:
        """Let hosts that wait be told, in every process."""
        self.bells.hosts.ring()
        self.bells.abroad.ring()

    @property
    def office(self) -> Office:
        """What reports of hosts are met with."""
        settings = self.settings
        dispatch = Dispatch(
            seal=self.seal,
            url=settings.public_address,
            grace=settings.grace.timedelta,
            report_every_s=max(1, round(settings.report_every.seconds)),
        )
        return Office(dispatch, self.tariff.rules)


def tariff_of(settings: MarketSettings) -> Tariff:
    """Return how a market charges, and how patient it is.

    A host is given up only after whatever was paid for ahead has run out there.
    """
    late = Span(3 * settings.report_every)
    ahead = Span(3 * settings.tick + late)
    rules = Rules(
        grace=settings.grace.timedelta,
        keep=settings.keep.timedelta,
        gone_after=max(Rules().gone_after, ahead.timedelta),
        forget_after=max(Rules().forget_after, settings.keep.timedelta),
    )
    return Tariff(
        tick=settings.tick,
        fee_share=settings.fee_share,
        overrun=Span(settings.grace + late),
        rules=rules,
    )


def seal_of(settings: MarketSettings) -> Seal:
    """Return the seal of a market; its key is a file in the market's folder."""
    return Seal.from_file(settings.home / "secrets.key")
