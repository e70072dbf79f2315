"""One process of a market: what its routes and loops share."""

from dataclasses import dataclass, field

from puna.market.bells import Bells, Waiting
from puna.market.db.database import Database
from puna.market.db.sealing import Seal
from puna.market.loops.meter_usage import Tariff
from puna.market.settings import MarketSettings
from puna.market.tally import Tally
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

    def nudge(self) -> None:
        """Let the loops look now, and hosts that wait be told, in every process."""
        self.bells.hear()
        self.bells.abroad.ring()

    def tell_hosts(self) -> None:
        """Let hosts that wait be told, in every process."""
        self.bells.hosts.ring()
        self.bells.abroad.ring()


def tariff_of(settings: MarketSettings) -> Tariff:
    """Return how a market charges."""
    return Tariff(tick=settings.tick, fee_share=settings.fee_share)


def seal_of(settings: MarketSettings) -> Seal:
    """Return the seal of a market; its key is a file in the market's folder."""
    return Seal.from_file(settings.home / "secrets.key")
