"""What the cloud that one is logged in to offers now, as rows of a plan beside dated ones.

A live row takes its price from the offer and its speed from the dated row of the same card, since
no market tells how fast a model runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from puna.batch.prices import CardPrice, PriceList, PriceSource
from puna.cli.session import Session
from puna.cloud.client import CloudClient, client_of
from puna.cloud.settings import NoCloud, load_login
from puna.errors import PunaError
from puna.text import one_line
from puna.units import Money, Size

_GIGABYTE = 2**30
_NAME = 29


def with_offers(session: Session, prices: PriceList, today: date) -> PriceList:
    """Return the list with what can be rented now before its cards.

    Says what is left out: a cloud that does not answer, and cards of which no speed is known.
    """
    try:
        login = load_login(session.environ)
    except NoCloud:
        return prices
    try:
        found = cheapest_offers(client_of(login))
    except PunaError as error:
        session.terminal.say(f"Note: offers of {login.address.url} are left out: {error.message}")
        return prices
    source = PriceSource(login.address.url, today, is_live=True)
    rows, unknown = live_rows(found, prices.cards, source)
    if unknown:
        names = ", ".join(unknown)
        session.terminal.say(f"Note: on offer too, and how fast they are is not known: {names}")
    return replace(prices, cards=(*rows, *prices.cards))


def cheapest_offers(cloud: CloudClient) -> Mapping[str, tuple[int, Money]]:
    """Return memory and price of an hour of each card that can be rented now."""
    found: dict[str, tuple[int, Money]] = {}
    for name, memory, hour in _offers(cloud):
        if name not in found or hour < found[name][1]:
            found[name] = (memory, hour)
    return found


def _offers(cloud: CloudClient) -> Iterator[tuple[str, int, Money]]:
    if cloud.is_puna:
        for offer in cloud.offers({"count": 1}).offers:
            if offer.cards:
                yield offer.name, offer.card_memory_gb, offer.an_hour
        return
    for card in cloud.cards():
        if hour := card.price_in(""):
            yield card.name, card.memory, hour


def live_rows(
    offers: Mapping[str, tuple[int, Money]], dated: Sequence[CardPrice], source: PriceSource
) -> tuple[tuple[CardPrice, ...], tuple[str, ...]]:
    """Return a row for each card whose speed is known, the cheapest first, and the other cards."""
    rows, unknown = [], []
    for name, (memory, hour) in sorted(offers.items(), key=lambda row: row[1][1]):
        alike = next((each for each in dated if each.name.startswith(f"{name} ")), None)
        if alike is None:
            unknown.append(name)
            continue
        rows.append(
            CardPrice(
                name=one_line(f"{name}, on offer", _NAME),
                memory=Size(memory * _GIGABYTE) if memory else alike.memory,
                hour=hour,
                source=source,
                speed=alike.speed,
                disk=Money(0),  # in the price of the hour
            )
        )
    return tuple(rows), tuple(unknown)
