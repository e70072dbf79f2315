"""`puna offers` and `puna templates`: what can be rented, for how much, and why not the rest."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from puna.cli.cloud.reach import as_json, cloud_of, narrow, price, print_json
from puna.cli.language import Language
from puna.cli.session import Session, pass_session
from puna.cloud.client import CloudClient
from puna.cloud.orders import choose_cards
from puna.cloud.values import Card, Offer, Offers
from puna.errors import Invalid
from puna.node.replies import Fields
from puna.units import Money

_LONG = 60


def wishes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a machine must have: those of `offers` and `create`."""
    for option in reversed(_WISHES):
        command = option(command)
    return command


_WISHES = (
    click.option("--card", "cards", multiple=True, help='Such as "RTX 4090"; may be repeated.'),
    click.option("--count", type=click.IntRange(1, 64), default=1, help="How many cards."),
    click.option("--cpus", type=click.IntRange(1), default=None, help="No card: so many CPUs."),
    click.option("--memory", type=click.IntRange(1), default=None, help="GB of each card."),
    click.option("--ram", type=click.IntRange(1), default=None, help="GB of the machine's memory."),
    click.option("--disk", type=click.IntRange(1), default=None, help="GB of disk."),
    click.option("--volume", type=click.IntRange(1), default=None, help="GB that survive a stop."),
    click.option("--spot", is_flag=True, help="Cheaper, until somebody pays more."),
    click.option(
        "--bid", default="", metavar="DOLLARS", help="For one card and hour, with --spot."
    ),
    click.option("--max-price", default="", metavar="DOLLARS", help="For one card and hour."),
    click.option("--country", "countries", multiple=True, help="Such as PL; may be repeated."),
    click.option("--secure", is_flag=True, help="Only machines of known data centres."),
    click.option("--community", is_flag=True, help="Only machines of single owners."),
    click.option("--cuda", default="", metavar="VERSION", help="At least this one, such as 12.4."),
    click.option("--down", type=click.IntRange(1), default=None, help="Mbit/s from the network."),
    click.option("--up", type=click.IntRange(1), default=None, help="Mbit/s to the network."),
    click.option("--public-ip", is_flag=True, help="Only machines with an address of their own."),
    click.option("--runtime", default="", help="Such as runsc, which is gVisor."),
)


def search_in(
    client: CloudClient, flags: Mapping[str, Any]
) -> tuple[dict[str, object], tuple[Card, ...]]:
    """Return the search that options ask for, and the catalog. Raises `NoSuchCard`, `Invalid`."""
    if flags["secure"] and flags["community"]:
        raise Invalid("--secure and --community exclude each other")
    if flags["bid"] and not flags["spot"]:
        raise Invalid("--bid needs --spot")
    known = () if flags["cpus"] else client.cards()
    chosen = choose_cards(flags["cards"], flags["memory"] or 0, known) if known else ()
    if flags["cards"] and not chosen:
        raise Invalid("no card here is one of those" if known else "there are no cards here now")
    values = {
        "cards": ",".join(chosen),
        "count": 0 if flags["cpus"] else flags["count"],
        "processors": flags["cpus"],
        "cardMemoryGb": flags["memory"],
        "memoryGb": flags["ram"],
        "diskGb": flags["disk"],
        "volumeGb": flags["volume"],
        "cloud": cloud_word(flags),
        "countries": ",".join(flags["countries"]),
        "minCudaVersion": flags["cuda"],
        "minDownloadMbps": flags["down"],
        "minUploadMbps": flags["up"],
        "publicIp": flags["public_ip"] or None,
        "runtime": flags["runtime"],
        "tenure": "spot" if flags["spot"] else None,
        "bid": _amount(flags["bid"]),
        "ceiling": _amount(flags["max_price"]),
    }
    return {name: value for name, value in values.items() if value not in (None, "")}, known


def cloud_word(flags: Mapping[str, Any]) -> str:
    """Return RunPod's word for a kind of machines; empty for any."""
    return "SECURE" if flags["secure"] else "COMMUNITY" if flags["community"] else ""


def _amount(text: str) -> str:
    return str(Money.parse(text)).replace("$", "") if text else ""


@click.command()
@wishes
@click.option("--all", "show_all", is_flag=True, help="Also why each other machine does not do.")
@as_json
@pass_session
def offers(session: Session, /, *, show_all: bool, as_json: bool, **flags: Any) -> None:  # noqa: ANN401 - as many types as options
    """List machines to rent, the cheapest first: prices for one card and hour, how many are free.

    For a machine without a card the price is for one processor. Why others do not do is counted.
    """
    client = cloud_of(session)
    if not client.is_puna:
        _catalog(session, client, flags, as_json=as_json)
        return
    search, _ = search_in(client, flags)
    found = client.offers(search)
    if not _asks_for_cards(flags):
        found = _with_processors(found, client.offers(search | {"count": 0}))
    if as_json:
        names = Offer.__dataclass_fields__
        each_offer = [{name: getattr(each, name) for name in names} for each in found.offers]
        refused = {"refused": found.refused, "why_by_host": found.why_by_host}
        print_json(session, {"offers": each_offer, **refused})
        return
    header = ("CARD", "FREE", "MEMORY", "RAM", "AT", "CLOUD", "ON DEMAND", "SPOT FROM")
    rows = [_row(each, bare=bool(flags["cpus"])) for each in found.offers]
    session.terminal.line(narrow(header, rows, session.terminal.screen_language))
    if found.refused:
        session.terminal.say(refusal_words(found, session.terminal.language, is_long=show_all))


def _asks_for_cards(flags: Mapping[str, Any]) -> bool:
    """Tell whether machines without cards cannot be meant, or are the only ones meant."""
    said = click.get_current_context().get_parameter_source("count")
    named = any(flags[name] for name in ("cards", "cpus", "memory", "volume", "cuda"))
    return named or said is not ParameterSource.DEFAULT


def _with_processors(cards: Offers, processors: Offers) -> Offers:
    """Add machines that have no cards, with why they do not do if so."""
    bare = [each for each in processors.offers if not each.cards]
    offered = {each.host for each in bare}
    why_by_host = {
        host: processors.why_by_host.get(host, why) if why == _ANOTHER_CARD else why
        for host, why in cards.why_by_host.items()
        if host not in offered
    }
    return Offers(tuple(sorted((*cards.offers, *bare), key=lambda each: each.an_hour)), why_by_host)


_ANOTHER_CARD = "another card"


def _row(offer: Offer, *, bare: bool) -> tuple[str, ...]:
    """Return a machine's cells; `bare` where no card is asked for, whatever it has."""
    cards = 0 if bare else offer.cards
    extra = offer.within_reach - offer.free
    return (
        offer.name if cards else f"{offer.processors} CPUs",
        f"{offer.free} of {cards or offer.processors}" + (f" +{extra}" if extra else ""),
        f"{offer.card_memory_gb} GB" if cards and offer.card_memory_gb else "-",
        f"{offer.memory_gb} GB",
        offer.country or "-",
        offer.cloud,
        price(offer.on_demand),
        price(offer.spot) if offer.spot is not None else "-",
    )


def refusal_words(found: Offers, language: Language, *, is_long: bool = False) -> str:
    """Say how many machines do not do, and why."""
    count = sum(found.refused.values())
    rows = sorted(found.refused.items(), key=lambda row: (-row[1], row[0]))
    each = [f"{language.of(why)} ({number})" for why, number in rows]
    reasons = "\n  ".join(["", *each]) if is_long else " " + ", ".join(each)
    return f"{language.of('more do not do')}: {count};{reasons}"


def _catalog(
    session: Session, client: CloudClient, flags: Mapping[str, Any], *, as_json: bool
) -> None:
    """List RunPod's catalog, which knows kinds of cards and not machines."""
    known = client.cards()
    chosen = choose_cards(flags["cards"], flags["memory"] or 0, known)
    rows = [each for each in known if not chosen or each.id in chosen]
    if as_json:
        names = Card.__dataclass_fields__
        print_json(session, [{name: getattr(each, name) for name in names} for each in rows])
        return
    header = ("CARD", "MEMORY", "STOCK", "COMMUNITY", "SECURE")
    lines = [
        (
            each.name,
            f"{each.memory} GB",
            each.availability or "-",
            price(each.community) if each.community else "-",
            price(each.secure) if each.secure else "-",
        )
        for each in rows
    ]
    session.terminal.line(narrow(header, lines, session.terminal.screen_language))


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def templates(ctx: click.Context, *, as_json: bool) -> None:
    """List templates: images with what they need, official ones and your own."""
    session = ctx.find_object(Session)
    if ctx.invoked_subcommand is not None or session is None:
        return
    found = cloud_of(session).templates()
    if as_json:
        print_json(session, found)
        return
    rows = [
        (
            each.text("id"),
            each.text("name"),
            each.text("image"),
            f"{each.whole('disk')} GB",
            ",".join(each.texts("ports")),
        )
        for each in found
    ]
    header = ("ID", "NAME", "IMAGE", "DISK", "PORTS")
    session.terminal.line(narrow(header, rows, session.terminal.screen_language))


@templates.command()
@click.argument("template")
@as_json
@pass_session
def show(session: Session, *, template: str, as_json: bool) -> None:
    """Show all of TEMPLATE, named by its id or name."""
    found = cloud_of(session).template(template)
    if as_json:
        print_json(session, found)
        return
    for name, value in found.values.items():
        text = _text(value)
        if text:
            session.terminal.line(f"{name:<{_LONG // 4}} {text}")


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(each)}" for name, each in Fields(value).values.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
