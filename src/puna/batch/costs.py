"""What a job costs here, on each card by the hour, and at each hosted model by the token.

Pure arithmetic on integers: micro-dollars, nanoseconds, tokens. Time here is measured by whoever
asks; time on a card is estimated from a table of another model's speed, scaled by the number of
parameters. It is a guess that can be a factor of two off either way, and is always called one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from puna.batch.forecast import shared_span
from puna.batch.prices import CardPrice, Electricity, HostedPrice, PriceSource
from puna.units import Money, Size, Span

_LEAST_PARAMETERS = 10**9
"""A smaller model does not fill a card: it is counted as one of this size."""
MOST_ROWS = 2000
"""Rows a second that are reckoned on one card, whatever its table says: with short rows of a small
model, a card waits for whoever hands them out."""
_MILLION = 10**6
_PERCENT = 100
_HOUR = 3600 * 10**9
_KWH = 1000 * _HOUR
"""Watts times nanoseconds."""
_MONTH = 30 * 24 * _HOUR
_GIGABYTE = 10**9
_SECOND = 10**9
_NO_TIME, _NO_MONEY = Span(0), Money(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a whole job asks for, in tokens as the measured model counts them."""

    requests: int
    """Rows that differ: equal ones are asked once, wherever they are asked."""
    shared: int
    """Tokens that stand before every row."""
    own: int
    """Tokens of the rows themselves, all together."""
    answers: int
    """Tokens of the answers that a chat would write, all together."""
    computed: int
    """Tokens that puna reads: common beginnings once."""
    written: int
    """Tokens that puna writes: none where labels are scored."""
    parameters: int
    weights: Size
    """What must be fetched and fit, with a tenth for the context."""
    result: Size


@dataclass(frozen=True, slots=True)
class CardCost:
    """A card's price and time; `reason` says why there are none."""

    card: CardPrice
    span: Span = _NO_TIME
    price: Money = _NO_MONEY
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HostedCost:
    """A hosted model's price: plain, with its cache, in its batch service, and with both.

    None where the service has no such thing, or the beginning is too short to be cached.
    """

    model: HostedPrice
    plain: Money
    cached: Money | None = None
    batch: Money | None = None
    both: Money | None = None

    @property
    def least(self) -> Money:
        """The cheapest way to buy it."""
        ways = (self.plain, self.cached, self.batch, self.both)
        return min(each for each in ways if each is not None)


def cost_of_own(span: Span, an_hour: Money, power: Electricity) -> Money:
    """Return what its hours cost, and the electricity; zero where nobody said what it costs."""
    hours = _ceil(span * an_hour, _HOUR)
    return Money(hours + _ceil(power.watts * span * power.kwh, _KWH))


def cost_on_card(work: Work, card: CardPrice) -> CardCost:
    """Estimate time and price on a card, with the time to start it and fetch the model."""
    needed = Size(work.weights + work.weights // 10)
    if needed > card.memory:
        return CardCost(card, reason=f"{needed} do not fit into {card.memory}")
    span = Span(card.boot + _work_span(work, card))
    ticks = _ceil(span, card.tick)
    rent = max(card.minimum, _ceil(ticks * card.tick * card.hour, _HOUR))
    disk = _ceil(work.weights * card.disk * span, _GIGABYTE * _MONTH)
    egress = _ceil(work.result * card.egress, _GIGABYTE)
    return CardCost(card, span, Money(rent + disk + egress))


def _work_span(work: Work, card: CardPrice) -> Span:
    size = max(work.parameters, _LEAST_PARAMETERS)
    speed = card.speed
    prompt = work.computed * size * _SECOND // (speed.prompt * speed.parameters)
    written = work.written * size * _SECOND // (speed.generate * speed.parameters)
    return Span(max(prompt + written, work.requests * _SECOND // MOST_ROWS))


def cost_hosted(work: Work, model: HostedPrice) -> HostedCost:
    """Price the job at a hosted model, which reads the instruction anew for each row."""
    plain = _bill(work, model, model.input)
    is_cached = model.cached is not None and work.shared >= max(1, model.cache_from)
    cached = _bill(work, model, model.cached) if is_cached and model.cached is not None else None
    return HostedCost(model, plain, cached, _batch(plain, model), _batch(cached, model))


def _bill(work: Work, model: HostedPrice, shared_price: Money) -> Money:
    exact = (
        work.requests * work.shared * shared_price
        + work.own * model.input
        + work.answers * model.output
    )
    return Money(max(_ceil(exact, _MILLION), work.requests * model.request))


def _batch(price: Money | None, model: HostedPrice) -> Money | None:
    if price is None or model.batch is None:
        return None
    return Money(_ceil(price * model.batch, _PERCENT))


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


@dataclass(frozen=True, slots=True, kw_only=True)
class RentedCost:
    """Machines that the job would rent for itself: what they are, how long, and for how much.

    `reason` says why nobody can tell how long; an hour of them has its price all the same.
    """

    name: str
    an_hour: Money
    span: Span = _NO_TIME
    price: Money = _NO_MONEY
    is_measured: bool = False
    """By a machine of the same kind, and not by a table."""
    reason: str = ""
    notes: tuple[str, ...] = ()
    """What else is to be said of them."""


def cost_rented(rented: RentedCost, alone: Sequence[Span], boot: Span, around: Span) -> RentedCost:
    """Return what machines cost of whom each alone would compute so long.

    They are paid while they start and compute, and not while the input is read (`around`).
    """
    paid = Span(boot + shared_span(alone))
    price = Money(_ceil(paid * rented.an_hour, _HOUR))
    return replace(rented, span=Span(around + paid), price=price)


@dataclass(frozen=True, slots=True)
class Bids:
    """Every way to have the job done."""

    span: Span
    here: Money | None
    """What the measured way costs; None where nobody said what its hour costs."""
    cards: tuple[CardCost, ...]
    hosted: tuple[HostedCost, ...]
    where: str = "this machine"
    """Who computed the sample."""
    rented: RentedCost | None = None
    is_electricity: bool = True
    """Whether the measured way costs electricity alone."""

    @property
    def best_card(self) -> CardCost | None:
        """The cheapest card that the model fits, the faster of two equals."""
        fitting = [each for each in self.cards if not each.reason]
        return min(fitting, key=lambda each: (each.price, each.span), default=None)

    @property
    def best_hosted(self) -> HostedCost | None:
        """The cheapest hosted model."""
        return min(self.hosted, key=lambda each: each.least, default=None)

    @property
    def sources(self) -> tuple[PriceSource, ...]:
        """Every source that a price came from, once."""
        cards = (each.card.source for each in self.cards)
        return tuple(dict.fromkeys([*cards, *(each.model.source for each in self.hosted)]))


_PATIENCE = Span.of(hours=12)
"""A night: what takes no longer here is worth no rent."""


def advice(bids: Bids) -> str:
    """Say in plain words which way is the cheaper one, and what there is beside it."""
    where = bids.where
    here = f"{rough_span(bids.span)}, {_own_price(bids)}"
    bought = _bought(bids)
    if bids.here is None:
        beside = f" Beside it: {bought[1]}." if bought else ""
        return f"What an hour of {where} costs is not known ({here}): say --price.{beside}"
    if bought is None:
        return f"Cheapest: {where} ({here})."
    least, words = bought
    if bids.here > least:
        return f"Cheaper than {where} ({here}): {words}."
    if bids.span <= _PATIENCE:
        return f"Cheapest: {where} ({here}); nothing need be rented."
    return f"Cheapest: {where} ({here}). If that is too long: {words}."


def _own_price(bids: Bids) -> str:
    if bids.here is None:
        return "its price not known"
    if not bids.here:
        return "no charge"
    return rough_money(bids.here) + (" of electricity" if bids.is_electricity else "")


def _bought(bids: Bids) -> tuple[Money, str] | None:
    """Return the least price that somebody asks, and which of card and hosted model it is."""
    card, hosted = bids.best_card, bids.best_hosted
    ways = [(card.price, _card_words(card))] if card else []
    ways += [(hosted.least, _hosted_words(hosted))] if hosted else []
    if bids.rented and not bids.rented.reason:
        ways.append((bids.rented.price, _rented_words(bids.rented)))
    if not ways:
        return None
    ways.sort(key=lambda way: way[0])
    return ways[0][0], " is cheaper than ".join(words for _, words in ways)


def _card_words(cost: CardCost) -> str:
    return f"{cost.card.name} (about {rough_money(cost.price)}, {rough_span(cost.span)})"


def _rented_words(cost: RentedCost) -> str:
    return f"{cost.name}, rented now (about {rough_money(cost.price)}, {rough_span(cost.span)})"


def _hosted_words(cost: HostedCost) -> str:
    return f"the hosted {cost.model.name} ({rough_money(cost.least)})"


def rough_span(span: Span) -> str:
    """Say a length of time in two figures: `45 s`, `12 min`, `5.8 h`, `16 days`."""
    seconds = span.seconds
    for below, unit, divisor in ((100, "s", 1), (100 * 60, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < below:
            return f"{_two_figures(seconds / divisor)} {unit}"
    return f"{_two_figures(seconds / 86400)} days"


def rough_money(money: Money) -> str:
    """Say an amount in two or three figures: `$0.0004`, `$0.31`, `$12.40`, `$1,240`."""
    dollars = money / _MILLION
    if dollars >= _MILLION:
        return f"${dollars / _MILLION:,.1f}M"
    if dollars >= _PERCENT:
        return f"${dollars:,.0f}"
    if dollars >= 0.01 or not money:  # noqa: PLR2004 - a cent
        return f"${dollars:.2f}"
    return f"${dollars:.4f}" if dollars >= 0.001 else f"${dollars:.6f}"  # noqa: PLR2004 - figures


def _two_figures(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"  # noqa: PLR2004 - two figures
