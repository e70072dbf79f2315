"""Where a request goes, and how near to this machine that is.

A server on the internet must not send us to a service of our own machine or network (a metadata
server, a router's page), so a redirect may lead as far away as it likes and never nearer than where
it came from.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Self

from yarl import URL

from puna.errors import Invalid
from puna.text import one_line

_TRANSLATED = IPv6Network("64:ff9b::/96")


class InvalidUrl(Invalid):
    """A text that is no address of something on the web."""

    code = "invalid_url"


class Nearness(IntEnum):
    """How near an address is: the larger, the more it can harm to be sent there."""

    PUBLIC = 0
    PRIVATE = 1
    OWN = 2
    """This machine, and the link that it hangs on, where metadata servers are."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what credentials belong to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> Self:
        """Return the origin of a URL that `web_url` made."""
        return cls(url.scheme, (url.raw_host or "").lower(), url.port or 0)

    @property
    def netloc(self) -> str:
        """Host and port as people write them, without the port that the scheme means."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def web_url(text: str, *, base: URL | None = None) -> URL:
    """Read a URL, which may be relative to `base`. Raises `InvalidUrl`.

    What is left is http or https, with a host, and names no user: a password in a URL ends up in
    logs.
    """
    try:
        url = URL(text, encoded=True)
        url = base.join(url) if base is not None else url
        has_host = bool(url.raw_host) and url.port is not None
    except ValueError as error:
        raise InvalidUrl(f'"{one_line(text)}" is no URL') from error
    if url.scheme not in {"http", "https"} or not has_host:
        raise InvalidUrl(f'"{one_line(text)}" is no http or https URL')
    if url.raw_user is not None or url.raw_password is not None:
        raise InvalidUrl("a URL with a user or a password in it is refused")
    return url


def nearness_of(address: str) -> Nearness:
    """Tell how near an IP address is; a text that is none counts as public."""
    try:
        ip = _inner(ip_address(address.partition("%")[0]))
    except ValueError:
        return Nearness.PUBLIC
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return Nearness.OWN
    return Nearness.PUBLIC if ip.is_global else Nearness.PRIVATE


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
