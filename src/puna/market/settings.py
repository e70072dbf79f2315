"""The market's settings: the variables `PUNA_MARKET_...`, or the same in the configuration file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path

from puna.errors import Invalid
from puna.readers import read_flag, read_folder, read_list, read_text, read_whole
from puna.settings import Address, Setting, load_room, read_address, read_home
from puna.units import Size, Span

DEFAULT_PORT = 11500
_SSH_PORT = 11522
_HUNDRED_PERCENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSettings:
    """Every setting of a market, read and checked."""

    home: Path
    """Its folder: the database of SQLite, the file of its secret key, its logs."""
    database: str
    address: Address
    public_address: str
    """The URL under which others reach it, without a slash at the end; empty for `address`."""
    domain: str
    """`{pod}-{port}.{domain}` leads to a pod; empty where there is only the path form."""
    ssh_address: Address
    """Where `ssh {pod}@...` and the tunnels of agents are taken."""
    ssh_public_address: str
    """`HOST:PORT` under which agents and renters reach that; empty where it is as the market's."""
    ssh_peer_address: str
    """`HOST:PORT` under which other processes of this market reach that."""
    tick: Span
    fee_share: int
    """In hundredths of a percent."""
    grace: Span
    """How long a spot pod may go on after its notice."""
    keep: Span
    """How long the volume of a pod is kept that nobody pays for."""
    retention: Span
    """How long logs and events of pods that are gone are kept."""
    report_every: Span
    rate_limit: int
    """Requests a minute for each key; 0 is no limit."""
    most_connections: int
    """Requests that a key may have open at once; 0 is no limit."""
    most_clients: int
    """Connections of clients that one process has at once."""
    most_clients_from_one: int
    """The same from one address; 0 is no limit."""
    body_limit: Size
    hosts: tuple[str, ...]
    """Names under which it may be called besides its own."""
    origins: tuple[str, ...]
    access_log: bool
    introspection: bool
    """Whether GraphQL describes itself to every key; to the operator's it always does."""
    key: str
    """What `puna market` sends."""

    @property
    def url(self) -> str:
        """The URL under which clients reach it."""
        return self.public_address or self.address.for_client().url

    @property
    def ssh_door(self) -> Address:
        """Where renters and agents reach `ssh_address`: as they reach the market, if not said."""
        if self.ssh_public_address:
            return read_address(self.ssh_public_address, self.ssh_address.port)
        host = read_address(self.url, DEFAULT_PORT).host
        return Address(host=host, port=self.ssh_address.port)


def load_market_settings(environ: Mapping[str, str] | None = None) -> MarketSettings:
    """Read all of them. Raises `InvalidSetting`."""
    values = load_room(MARKET_ROWS, environ)
    home = values["home"] or read_home(environ) / "market"
    values |= {"home": home}
    values["database"] = values["database"] or f"sqlite:///{home}/market.db"
    listens = values["address"]
    assert isinstance(listens, Address)  # noqa: S101 - its reader gives nothing else
    values["ssh_address"] = values["ssh_address"] or Address(host=listens.host, port=_SSH_PORT)
    # Each reader gives the type of the field of the same name; a test checks each.
    return MarketSettings(**values)  # type: ignore[arg-type]


def _address(text: str) -> Address:
    return read_address(text, DEFAULT_PORT)


def _ssh_address(text: str) -> Address | None:
    return read_address(text, _SSH_PORT) if text else None


def _url(text: str) -> str:
    """Return a URL without a slash at its end."""
    if not text:
        return ""
    address = read_address(text, DEFAULT_PORT)
    return text.rstrip("/") if "://" in text else address.url


def _domain(text: str) -> str:
    name = text.lower().strip(".")
    if not name.isascii() or any(sign in name for sign in "/: *"):
        raise Invalid(f'"{text}" is not a domain', hint="write it like pods.example.org")
    return name


def _positive(text: str) -> Span:
    span = Span.parse(text)
    if span <= 0:
        raise Invalid(f'"{text}" is not longer than nothing', hint="write it like 60s")
    return span


def _at_least_one(text: str) -> int:
    number = read_whole(text)
    if not number:
        raise Invalid(f'"{text}" lets nobody in', hint="write a number from 1 on")
    return number


def _percent(text: str) -> int:
    """Return hundredths of a percent."""
    try:
        percent = Decimal(text.strip().removesuffix("%").strip())
    except InvalidOperation as error:
        raise Invalid(f'"{text}" is not a share', hint="write it like 2.5%") from error
    hundredths = percent * 100
    if not 0 <= percent <= _HUNDRED_PERCENT or hundredths != hundredths.to_integral_value():
        raise Invalid(f'"{text}" is not from 0% to 100%, in hundredths of a percent')
    return int(hundredths)


MARKET_ROWS: tuple[Setting, ...] = (
    Setting("market_home", read_folder, "", "the market's folder (market in the home folder)"),
    Setting(
        "market_database",
        read_text,
        "",
        "sqlite:///PATH or postgresql://USER@HOST/NAME (market.db in the market's folder)",
        secret=True,
    ),
    Setting("market_address", _address, f"127.0.0.1:{DEFAULT_PORT}", "where the market listens"),
    Setting(
        "market_public_address",
        _url,
        "",
        "the URL under which others reach the market, such as https://market.example.org",
    ),
    Setting(
        "market_domain",
        _domain,
        "",
        "pods are at POD-PORT.DOMAIN; without one they have paths of the market",
    ),
    Setting(
        "market_ssh_address",
        _ssh_address,
        "",
        "where agents open tunnels and `ssh POD@...` leads to a pod (as market_address, port"
        f" {_SSH_PORT})",
    ),
    Setting(
        "market_ssh_public_address",
        read_text,
        "",
        "HOST:PORT of that as agents and renters reach it (the market's own host, the same port)",
    ),
    Setting(
        "market_ssh_peer_address",
        read_text,
        "",
        "HOST:PORT of that as other processes of the market reach it (market_ssh_address)",
    ),
    Setting("market_tick", _positive, "60s", "how often pods are charged; twice that is held"),
    Setting("market_fee_share", _percent, "0%", "the market's share of what a pod pays"),
    Setting("market_grace", Span.parse, "60s", "how long a spot pod may go on after its notice"),
    Setting(
        "market_keep", Span.parse, "168h", "how long the volume of a pod without money is kept"
    ),
    Setting("market_retention", _positive, "720h", "how long logs of pods that are gone are kept"),
    Setting("market_report_every", _positive, "10s", "how often hosts report"),
    Setting(
        "market_rate_limit", read_whole, "600", "requests a minute for each key; 0 is no limit"
    ),
    Setting(
        "market_most_connections",
        read_whole,
        "200",
        "requests that one key may have open at once; 0 is no limit",
    ),
    Setting(
        "market_most_clients",
        _at_least_one,
        "10000",
        "connections of clients that one process has at once, as far as it may open files",
    ),
    Setting(
        "market_most_clients_from_one",
        read_whole,
        "2000",
        "the same from one address that is not this machine's; 0 is no limit",
    ),
    Setting("market_body_limit", Size.parse, "1MiB", "the largest body of a request to the market"),
    Setting("market_hosts", read_list, "", "names under which it may be called besides its own"),
    Setting("market_origins", read_list, "", "web origins whose pages may call the market"),
    Setting(
        "market_access_log", read_flag, "false", "log each request, without secrets, to access.log"
    ),
    Setting(
        "market_introspection",
        read_flag,
        "false",
        "GraphQL describes itself to every key, and not only to the operator's",
    ),
    Setting(
        "market_key",
        read_text,
        "",
        "the operator's key, which `puna market accounts` and its like send",
        secret=True,
    ),
)
_NAMES = {row.name.partition("_")[2] for row in MARKET_ROWS}
assert {field.name for field in fields(MarketSettings)} == _NAMES  # noqa: S101 - one table, checked at import
