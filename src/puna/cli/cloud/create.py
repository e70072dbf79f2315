"""`puna pods create`: say what it costs, ask, rent, and stay with it while it installs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from puna.cli.cloud.offers import cloud_word, refusal_words, search_in, wishes
from puna.cli.cloud.reach import (
    as_json,
    ask_yes,
    card_name,
    cents,
    cloud_of,
    pod_values,
    price,
    print_json,
)
from puna.cli.cloud.watch import wait_for
from puna.cli.language import ENGLISH
from puna.cli.session import Session, pass_session
from puna.cloud.client import CloudClient
from puna.cloud.orders import Extras, Order, hour_on_runpod
from puna.cloud.values import Card, CloudPod, Offer
from puna.errors import Invalid, Unavailable
from puna.node.replies import Fields
from puna.units import Money, Span

_OLLAMA = "11434"
_DAY_H = 24
_PROCESSORS, _MEMORY_GB = 2, 8
_GB_A_PROCESSOR = {"cpu3c": 2, "cpu3g": 4, "cpu3m": 8}


class NoOffer(Unavailable):
    """No machine does now; the hint says why."""

    code = "no_offer"


@dataclass(frozen=True, slots=True)
class Quote:
    """What an hour costs, and on what; None where the cloud does not tell."""

    an_hour: Money | None
    what: str
    offer: Offer | None = None
    others: tuple[Offer, ...] = ()
    """Every machine that does, the cheapest first."""


@click.command()
@wishes
@click.option("--name", default="", help="What you call it; the image's name otherwise.")
@click.option("--image", default="", help="A container image.")
@click.option("--template", default="", help="A template's id or name; see: puna templates.")
@click.option(
    "--port", "ports", multiple=True, help="Such as 8888/http or 22/tcp; may be repeated."
)
@click.option("--open", "open_ports", multiple=True, help="A port that everybody may see.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@click.option("--args", default="", help="What the image is started with.")
@click.option("--volume-path", default="/workspace", help="Where the volume is mounted.")
@click.option("--registry", default="", metavar="ID", help="A credential to pull the image by.")
@click.option("--data-center", "data_centers", multiple=True, help="Such as EU-PL-1.")
@click.option("--project", default="", help="A word under which it is billed.")
@click.option("--budget", default="", metavar="DOLLARS", help="The most that it may ever cost.")
@click.option("--stop-after", default="", metavar="TIME", help="Such as 2h: then it stops.")
@click.option("--terminate-after", default="", metavar="TIME", help="Such as 1d: then it is gone.")
@click.option(
    "--idle-stop", default="", metavar="TIME", help="Stop when nothing happens for so long."
)
@click.option("--returns", is_flag=True, help="With --spot: placed again when it was displaced.")
@click.option("--ssh", "starts_ssh", is_flag=True, help="Give the image your public keys.")
@click.option("--jupyter", "starts_jupyter", is_flag=True, help="Give it a password for Jupyter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Do not wait until it runs.")
@as_json
@pass_session
def create(session: Session, /, *, yes: bool, detach: bool, as_json: bool, **flags: Any) -> None:  # noqa: ANN401 - as many types as options
    """Rent a pod: a container on a machine of somebody else's.

    What an hour and a day cost is shown before you are asked. Ctrl-C while it installs leaves it
    going, and says what it costs.
    """
    client = cloud_of(session)
    order, quote = order_of(client, flags)
    session.terminal.say(f"{order.name}: {quote.what}")
    session.terminal.say(_cost_words(quote, flags))
    if not ask_yes(session, "Rent it?", yes=yes):
        session.terminal.say("nothing is rented")
        return
    pod = client.create(order)
    if not as_json:
        session.terminal.say(f"pod {pod.id} is rented")
    if not detach:
        pod = _stay_with(session, client, pod, quote)
    if as_json:
        print_json(session, pod_values(pod))
    elif not detach:
        say_ways(session, pod)


def order_of(client: CloudClient, flags: Mapping[str, Any]) -> tuple[Order, Quote]:
    """Return what the options of `create` order, and what it costs. Raises `NoOffer`, `Invalid`."""
    template = client.template(flags["template"]) if flags["template"] else Fields({})
    sized = _with_sizes(flags, template)
    _check_sizes(sized)
    search, known = search_in(client, sized)
    quote = _quote(client, sized, search, known)
    return _order(sized, search, quote, template, known), quote


def say_ways(session: Session, pod: CloudPod) -> None:
    """Say how to reach a pod."""
    for port, url in sorted(pod.urls.items(), key=lambda row: int(row[0])):
        session.terminal.line(f"  {port:<6} {url}")
    name = pod.name if " " not in pod.name else pod.id
    if _OLLAMA in pod.urls:
        session.terminal.line(f"  puna run MODEL --on {name}")
    session.terminal.line(f"  puna pods ssh {name}")
    session.terminal.line(f"  puna pods terminate {name}")


def _stay_with(session: Session, client: CloudClient, pod: CloudPod, quote: Quote) -> CloudPod:
    """Show what happens until it runs. Ctrl-C leaves it going."""
    rate = f"{price(quote.an_hour)} an hour" if quote.an_hour else "its price"
    try:
        seen = wait_for(session, client, pod.id, {"RUNNING", "ERROR", "EXITED", "TERMINATED"})
    except KeyboardInterrupt:
        session.terminal.say(
            f"\npod {pod.id} goes on and costs {rate} once it runs; "
            f"end it with: puna pods terminate {pod.id}"
        )
        raise
    if seen.status != "RUNNING":
        raise NoOffer(
            f"pod {pod.id} is {seen.status} and does not run",
            hint=f"see: puna pods logs {pod.id}; end it with: puna pods terminate {pod.id}",
        )
    session.terminal.say(f"pod {pod.id} runs for {rate}")
    return client.pod(pod.id)


def _with_sizes(flags: Mapping[str, Any], template: Fields) -> dict[str, Any]:
    """Return the options with the template's sizes where none is said: the price is then true."""
    kept = template.fields("mounts").fields("persistent").whole("size")
    sizes = {
        "disk": flags["disk"] or template.whole("disk") or None,
        "volume": flags["volume"] or (None if flags["cpus"] else kept or None),
    }
    if flags["cpus"]:
        gigabytes = _GB_A_PROCESSOR[_flavour(flags)] * flags["cpus"]
        return {**flags, **sizes, "ram": max(flags["ram"] or 0, gigabytes)}
    memory = max(flags["ram"] or 0, _MEMORY_GB * flags["count"])
    return {**flags, **sizes, "ram": memory}


def _check_sizes(flags: Mapping[str, Any]) -> None:
    """Refuse sizes that RunPod's version 2 has not. Raises `Invalid`."""
    processors, volume = flags["cpus"], flags["volume"]
    if processors and (processors < _PROCESSORS or processors & (processors - 1)):
        raise Invalid(f"--cpus is 2, 4, 8 or so on, and not {processors}")
    if processors and volume:
        raise Invalid("a pod without a card has no volume that survives a stop")
    if volume and volume < _LEAST_VOLUME_GB:
        raise Invalid(f"--volume is at least {_LEAST_VOLUME_GB} GB")


_LEAST_VOLUME_GB = 10


def _flavour(flags: Mapping[str, Any]) -> str:
    """Return the kind of processors with at least so much memory each."""
    each = (flags["ram"] or 0) / flags["cpus"]
    return next((name for name, gb in _GB_A_PROCESSOR.items() if gb >= each), "cpu3m")


def _quote(
    client: CloudClient,
    flags: Mapping[str, Any],
    search: Mapping[str, object],
    known: tuple[Card, ...],
) -> Quote:
    """Return what an hour costs on the cheapest machine that does. Raises `NoOffer`."""
    if not client.is_puna:
        order = Order(
            name="",
            cards=_ids(search),
            count=flags["count"],
            cloud=cloud_word(flags),
            disk_gb=flags["disk"] or 0,
            volume_gb=flags["volume"] or 0,
        )
        card = next(iter(_ids(search)), "")
        return Quote(hour_on_runpod(order, known), f"{flags['count']} x {card_name(card)}")
    needed = {"processors": _PROCESSORS * flags["count"], **search}
    found = client.offers(needed)
    if not found.offers:
        hint = refusal_words(found, ENGLISH) if found.refused else "no machine has joined yet"
        raise NoOffer("no machine does", hint=hint)
    best = found.offers[0]
    tenure = "spot" if flags["spot"] else "on demand"
    count = f"{flags['cpus']} CPUs" if flags["cpus"] else f"{flags['count']} x {best.name}"
    what = f"{count} {tenure}, {flags['disk'] or 20} GB of disk"
    kept = f", {flags['volume']} GB that survive a stop" if flags["volume"] else ""
    return Quote(best.an_hour, what + kept, best, found.offers)


def _ids(search: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(part for part in str(search.get("cards", "")).split(",") if part)


def _order(
    flags: Mapping[str, Any],
    search: Mapping[str, object],
    quote: Quote,
    template: Fields,
    known: tuple[Card, ...],
) -> Order:
    """Return the order. Raises `Invalid`."""
    if not flags["image"] and not template.values:
        raise Invalid("a pod needs --image or --template", hint="see: puna templates")
    named = flags["name"] or (flags["image"] or template.text("name")).rpartition("/")[2]
    cards = _ids(search)
    if not cards and not flags["cpus"] and quote.offer:
        cards = tuple(each.id for each in known if each.name == quote.offer.name)
    bid = flags["bid"] or (quote.offer and quote.offer.spot and str(quote.offer.spot)) or ""
    extras = Extras(
        tenure="spot" if flags["spot"] else "",
        bid=bid if flags["spot"] else "",
        ceiling=flags["max_price"] or _shown_price(quote, flags),
        countries=tuple(each.upper() for each in flags["countries"]),
        min_memory_gb=flags["ram"] if flags["ram"] != _MEMORY_GB * flags["count"] else 0,
        min_download_mbps=flags["down"] or 0,
        min_upload_mbps=flags["up"] or 0,
        access=dict.fromkeys(flags["open_ports"], "open"),
        **{name: flags[name] for name in _SAME},
    )
    return Order(
        name=named[:191],
        template=template.text("id"),
        cards=cards,
        processors=flags["cpus"] or 0,
        flavour=_flavour(flags) if flags["cpus"] else "",
        cloud=cloud_word(flags) or (quote.offer.cloud if quote.offer else ""),
        cuda=flags["cuda"],
        disk_gb=flags["disk"] or 0,
        volume_gb=flags["volume"] or 0,
        env=dict(map(_pair, flags["env"])),
        extras=extras,
        **{name: flags[name] for name in _ALSO},
    )


def _shown_price(quote: Quote, flags: Mapping[str, Any]) -> str:
    """Return what was shown as the most to pay: a machine that turned dearer since is not taken."""
    if quote.offer is None or flags["spot"]:
        return ""
    return str(quote.offer.on_demand).replace("$", "")


_SAME = (
    *("returns", "project", "stop_after", "terminate_after", "idle_stop", "budget", "public_ip"),
    "runtime",
)
_ALSO = (
    *("image", "count", "volume_path", "args", "ports", "registry", "data_centers"),
    *("starts_ssh", "starts_jupyter"),
)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Invalid(f'"{text}" is not NAME=VALUE')
    return name, value


def _cost_words(quote: Quote, flags: Mapping[str, Any]) -> str:
    """Say what it costs, in one line."""
    if quote.an_hour is None:
        return "the cloud does not tell what it costs"
    words = f"{price(quote.an_hour)} an hour, {cents(Money(quote.an_hour * _DAY_H))} a day"
    if quote.offer and quote.offer.displaces:
        words += f"; {quote.offer.displaces} spot pods have to leave first"
    after = flags["stop_after"] or flags["terminate_after"]
    if after:
        span = read_span(after)
        most = cents(Money(quote.an_hour * span // Span.of(hours=1)))
        words += f"; it stops after {after}, by when it has cost {most}"
    return words


def read_span(text: str) -> Span:
    """Read `90m`, `2h`, `1d`. Raises `Invalid`."""
    if text.endswith("d") and text[:-1].isdecimal():
        return Span.of(hours=_DAY_H * int(text[:-1][:5]))
    return Span.parse(text)
