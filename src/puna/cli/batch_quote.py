"""What `puna batch plan` says of where a job would run: pods that one has, and machines to rent.

Nothing is rented for a plan. Of machines that would be, the price is that of the offers of now. How
long they would take is measured where a pod of the same kind has computed the sample; else it is
reckoned from a table of cards, or from this machine's processors, and called an estimate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from puna.batch.costs import RentedCost, cost_on_card, cost_rented, rough_money
from puna.batch.plan import ModelSize, Own, Survey, work_of
from puna.batch.prices import PriceList, PriceSource
from puna.cli.batch_offers import live_rows
from puna.cli.batch_rent import LAST, Offered, RentWish, check_rents, offered
from puna.cli.batch_workers import HERE, Crew
from puna.cli.cloud.create import read_span
from puna.cli.cloud.reach import card_name, cloud_of, hour_of, price
from puna.cli.session import Session
from puna.cloud.client import CloudClient
from puna.cloud.values import CloudPod, Offer
from puna.errors import Invalid
from puna.hardware.processor import detect_processor
from puna.units import Money, Span

_BOOT = Span.of(minutes=3)
"""Until a rented machine runs and has the model, where no table says it."""


class NotReckoned(Invalid):
    """How long a machine would take is not known; the message says why."""

    code = "not_reckoned"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a job would run: asked for before the sample, since the answer may be that it cannot.

    Empty for a job on this machine alone.
    """

    crew: Crew
    pods: tuple[CloudPod, ...] = ()
    offered: Offered | None = None
    cloud: str = ""

    @property
    def uses_here(self) -> bool:
        """Whether this machine computes the sample, alone or with others."""
        return HERE in self.crew.endpoints or not self.is_joined

    @property
    def is_here(self) -> bool:
        """Whether this machine alone does."""
        crew = self.crew
        return self.uses_here and not (crew.pods or crew.ray or set(crew.endpoints) - {HERE})

    @property
    def is_joined(self) -> bool:
        """Whether what is rented would share the job with who computed the sample."""
        crew = self.crew
        return bool(crew.endpoints or crew.ray or crew.pods)

    @property
    def is_alike(self) -> bool:
        """Whether the sample is computed in pods of the one kind of machine to be rented."""
        crew, wish = self.crew, self.crew.rents
        if not self.pods or wish is None or self.offered is None or crew.endpoints or crew.ray:
            return False
        if wish.cpus:
            return all(each.count == wish.cpus for each in self.pods)
        kinds = {(card_name(each.card), each.count) for each in self.pods}
        return kinds == {(each.name, 1) for each in self.offered.seats}


def site_of(session: Session, crew: Crew) -> Site:
    """Look at the pods, and ask for offers, that the flags name.

    Raises what `puna batch run` would: `PodMissing`, `NoOffer`, `NotThere`, `Invalid`.
    """
    if not crew.pods and crew.rents is None:
        return Site(crew)
    cloud = cloud_of(session)
    pods = tuple(cloud.pod(name) for name in crew.pods)
    if pods:
        hour = price(Money(sum(map(hour_of, pods))))
        session.terminal.say(
            f"the sample is computed in {', '.join(each.name for each in pods)}: {hour} an hour "
            "while it runs, with a plan or without; nothing is started for it"
        )
    return Site(crew, pods, _offered(cloud, crew.rents), cloud.url)


def _offered(cloud: CloudClient, wish: RentWish | None) -> Offered | None:
    if wish is None:
        return None
    check_rents(cloud)
    return offered(cloud, wish, wish.count)


def own_of(
    site: Site, found: Survey, size: ModelSize, prices: PriceList, hour: Money | None
) -> Own:
    """Return what the job costs where it was measured, and what it would rent.

    `hour` is what the user says of the price; it goes before what anybody else says.
    """
    pods = Money(sum(map(hour_of, site.pods)))
    is_known = site.is_here or bool(site.pods and not (site.crew.endpoints or site.crew.ray))
    an_hour = hour if hour is not None else pods if is_known else None
    return Own(
        name=Own().name if site.is_here else ", ".join(found.where),
        an_hour=an_hour,
        power=prices.here if site.uses_here else Own().power,
        rented=_rented(site, found, size, prices, an_hour),
    )


def _rented(
    site: Site, found: Survey, size: ModelSize, prices: PriceList, own_hour: Money | None
) -> RentedCost | None:
    wish = site.crew.rents
    if site.offered is None or wish is None:
        return None
    seats = site.offered.seats
    names = sorted({each.name for each in seats})
    kind = f"{wish.cpus} CPUs" if wish.cpus else names[0] if len(names) == 1 else "card"
    joined = (own_hour or Money(0)) if site.is_joined else Money(0)
    cost = RentedCost(
        name=f"{len(seats)} x {kind}",
        an_hour=Money(site.offered.an_hour + joined),
        is_measured=site.is_alike,
        notes=tuple(_offer_notes(site, site.offered, wish)),
    )
    if not seats:
        return replace(cost, reason="none can be had now")
    try:
        alone = [_alone(each, site, found, size, prices) for each in seats]
    except NotReckoned as error:
        return replace(cost, reason=error.message)
    if site.is_joined:
        alone.append(found.forecast.span)
    around = Span(found.total.span - found.forecast.span)
    cost = cost_rented(cost, alone, _BOOT, around)
    return replace(cost, notes=(*cost.notes, *_bounds(cost, wish)))


def _alone(seat: Offer, site: Site, found: Survey, size: ModelSize, prices: PriceList) -> Span:
    """Return how long one machine would compute the job. Raises `NotReckoned`."""
    wish, span = site.crew.rents, found.forecast.span
    if site.is_alike:
        return Span(span * len(site.pods))
    if wish is not None and wish.cpus:
        if not site.is_here:
            raise NotReckoned("how fast they are is not known: --on a pod of that kind tells")
        return Span(span * detect_processor().best_threads // wish.cpus)
    if not size.parameters:
        raise NotReckoned("how large the model is, is not known here")
    source = PriceSource(site.cloud, None, is_live=True)
    offers = {seat.name: (seat.card_memory_gb, seat.an_hour)}
    rows, _ = live_rows(offers, prices.cards, source)
    if not rows:
        raise NotReckoned(f"no table says how fast a {seat.name} is: --on a pod with one tells")
    cost = cost_on_card(work_of(found, size), rows[0])
    if cost.reason:
        raise NotReckoned(cost.reason)
    return Span(cost.span - rows[0].boot)


def _offer_notes(site: Site, offer: Offered, wish: RentWish) -> Iterator[str]:
    hour = price(offer.an_hour)
    had = len(offer.seats)
    yield (
        f"To be rented: {had} x ({offer.what}) at {site.cloud}, {hour} an hour together, as offered"
        " now. A plan rents nothing: the same words after `puna batch run` do."
    )
    if had < wish.count:
        yield f"Only {had} of {wish.count} machines can be had now."
    if not site.is_alike and wish.cpus:
        yield (
            "CPUs are estimated by their number, from this machine's: half or double is possible."
        )


def _bounds(cost: RentedCost, wish: RentWish) -> Iterator[str]:
    """Yield which of the user's bounds would end the machines before the job does."""
    budget = Money.parse(wish.budget) if wish.budget else None
    if budget is not None and budget < cost.price:
        share = budget / cost.price
        yield (
            f"The budget of {rough_money(budget)} ends them when about {share:.0%} is done; what "
            "is done is kept."
        )
    last = read_span(wish.terminate_after or LAST)
    if last < cost.span:
        yield (
            f"They end after {wish.terminate_after or LAST}, before the job does: give them longer "
            "by --terminate-after, or run it again."
        )
