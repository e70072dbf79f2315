"""Ask servers that nobody vouches for: registries, the places that they redirect to, token servers.

What keeps that safe stands here once. Credentials belong to an origin and are sent to no other. A
place that a server names (a redirect, a realm, an upload address) may not be nearer to this machine
than the server itself, nor lead from https to http. Names are looked up once for each piece of
work, so that the address that was judged is the one that is used. Every answer has a limit.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from puna.errors import Denied, Failed
from puna.net import Unreachable, stranger_session
from puna.origin import Nearness, Origin, nearness_of, web_url
from puna.surroundings import Proxies
from puna.text import one_line
from puna.units import Size, Span

PATIENCE = Span.of(seconds=30)
"""How long a connection may be silent, before its first byte too."""
_TRICKLE = 1024
"""A connection that brings less in that time is as good as silent."""
_WHOLE = 4
"""How many times as long a small answer may take as a whole."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BAD_CERTIFICATE = aiohttp.ClientConnectorCertificateError
NO_PROXIES = Proxies()


class Stalled(Unreachable):
    """The server took the connection and sent nothing for too long."""

    code = "stalled"


class UnsafeRedirect(Denied):
    """A server sent us to a place where it must not send us."""

    code = "unsafe_redirect"


class TooNear(Denied):
    """An address leads into this network or machine, where only its own people may go."""

    code = "too_near"


class TooLong(Failed):
    """An answer is longer than any honest one, or packed so that its length cannot be known."""

    code = "too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request. Without `authorization`, the credentials that its origin has are sent."""

    url: URL
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], AsyncIterator[bytes]] | None = None
    """What is sent; made anew each time that the question is asked."""
    authorization: str | None = None
    sent_by: Origin | None = None
    """The server that named this place, if one did."""
    nearest: Nearness = Nearness.OWN
    """How near the place may be, whoever named it."""


class Reply:
    """The answer to one question, its body still to be read."""

    def __init__(self, response: aiohttp.ClientResponse, url: URL, patience: Span) -> None:
        self._response = response
        self._patience = patience
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = url

    @property
    def origin(self) -> Origin:
        """Who answered."""
        return Origin.of(self.url)

    @property
    def is_redirect(self) -> bool:
        """Whether it points to another place."""
        return self.status in _REDIRECTS and "Location" in self.headers

    def place(self, header: str = "Location") -> URL:
        """Return the place that a header names. Raises `InvalidUrl`."""
        return web_url(self.headers.get(header, ""), base=self.url)

    async def read(self, limit: Size) -> bytes:
        """Return the whole body. Raises `TooLong`, `Stalled`, `Unreachable`."""
        parts, size = [], 0
        with _explained(self.origin):
            async with asyncio.timeout(_WHOLE * self._patience.seconds):
                async for chunk in self.chunks():
                    parts.append(chunk)
                    size += len(chunk)
                    if size > limit:
                        raise TooLong(
                            f"{self.origin} sent more than {limit} where that is too much"
                        )
        return b"".join(parts)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it comes.

        Raises `TooLong` if it is packed, `Stalled` if it only trickles, and `Unreachable`.
        """
        packing = self.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in {"", "identity"}:
            raise TooLong(f"{self.origin} sent an answer packed with {one_line(packing, 40)}")
        clock, span = asyncio.get_running_loop(), self._patience.seconds
        since, size = clock.time(), 0
        with _explained(self.origin):
            while chunk := await self._response.content.readany():
                yield chunk
                size += len(chunk)
                if size >= _TRICKLE:
                    since, size = clock.time(), 0
                elif clock.time() - since > span:
                    raise Stalled(f"{self.origin} sent {size} bytes in {span:.0f} seconds")


class Fetcher:
    """All requests of one piece of work. Use it as an async context."""

    def __init__(
        self,
        *,
        agent: str,
        proxies: Proxies = NO_PROXIES,
        verifies: bool = True,
        nearness: Callable[[str], Nearness] = nearness_of,
        patience: Span = PATIENCE,
    ) -> None:
        self._proxies = proxies
        self._nearness = nearness
        self._patience = patience
        self._names = _Names()
        self._session = stranger_session(
            self._names, agent=agent, patience_s=patience.seconds, verifies=verifies
        )
        self._authorization_by_origin: dict[Origin, str] = {}

    def trust(self, origin: Origin, authorization: str) -> None:
        """Send this `Authorization` to `origin`, and never to another."""
        self._authorization_by_origin[origin] = authorization

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[Reply]:
        """Send a request; a redirect is an answer like any other.

        Raises `Unreachable`, `Stalled`, `UnsafeRedirect`, `TooNear`.
        """
        url, origin = question.url, Origin.of(question.url)
        proxy = self._proxies.between(origin.scheme, origin.host)
        await self._admit(question, origin, is_direct=not proxy)
        own = self._authorization_by_origin.get(origin)
        authorization = own if question.authorization is None else question.authorization
        headers = dict(question.headers) | (
            {"Authorization": authorization} if authorization else {}
        )
        with _explained(origin):
            async with self._session.request(
                question.method,
                url,
                headers=headers,
                data=question.body() if callable(question.body) else question.body,
                allow_redirects=False,
                proxy=proxy or None,
            ) as response:
                yield Reply(response, url, self._patience)

    async def _admit(self, question: Question, origin: Origin, *, is_direct: bool) -> None:
        """Raise `TooNear` or `UnsafeRedirect` if who named this place must not send us there."""
        is_free = question.nearest is Nearness.OWN
        if not is_free and await self._near(origin, is_direct=is_direct) > question.nearest:
            raise TooNear(f"{origin} is inside this network or machine")
        by = question.sent_by
        if by is None or by == origin:
            return
        if by.scheme == "https" and origin.scheme != "https":
            raise UnsafeRedirect(f"{by} leads from https to {origin}, which nobody protects")
        if await self._near(origin, is_direct=is_direct) > await self._near(
            by, is_direct=is_direct
        ):
            raise UnsafeRedirect(
                f"{by} leads to {origin}, which is inside this network or machine",
                hint="a registry may send its clients to public addresses only",
            )

    async def _near(self, origin: Origin, *, is_direct: bool) -> Nearness:
        """Return how near the nearest address of a host is."""
        addresses = [origin.host]
        if is_direct or origin.host == "localhost" or origin.host.endswith(".localhost"):
            with suppress(OSError):  # unknown: the request itself says so
                addresses += [each["host"] for each in await self._names.resolve(origin.host)]
        return max(self._nearness(address) for address in addresses)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()


class _Names(AbstractResolver):
    """Looks each name up once, so that nobody can change where it leads after it was judged."""

    def __init__(self) -> None:
        self._known: dict[str, list[ResolveResult]] = {}
        self._system: aiohttp.ThreadedResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises `OSError`."""
        if host not in self._known:
            self._system = self._system or aiohttp.ThreadedResolver()
            self._known[host] = await self._system.resolve(host, port, family)
        return [{**each, "port": port} for each in self._known[host]]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


@contextmanager
def _explained(origin: Origin) -> Iterator[None]:
    """Turn what aiohttp raises inside into `Unreachable` or `Stalled` about an origin."""
    try:
        yield
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise Stalled(f"{origin} sent nothing for {PATIENCE.seconds:.0f} seconds") from error
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError) as error:
        reason = error.certificate_error if isinstance(error, _BAD_CERTIFICATE) else error.os_error
        raise Unreachable(
            f"nothing answers at {origin}: {_reason(reason)}",
            refused=isinstance(reason, ConnectionRefusedError),
        ) from error
    except (aiohttp.ClientError, ConnectionError, ssl.SSLError) as error:
        raise Unreachable(f"{origin} broke off: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror.lower())
    return one_line(str(error)) or type(error).__name__


def is_busy(status: int) -> bool:
    """Tell whether a status says that asking again can help."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
