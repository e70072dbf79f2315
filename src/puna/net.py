"""The only maker of HTTP clients: what reaches another program goes through here.

Three kinds, for three needs: a session for strangers on the internet (fetcher.py adds what makes it
safe), one for an address that a person named, and a small blocking connection for the command line,
which has no time to import an asynchronous client. (The engine's child has a line of its own,
node/engine/line.py.)
"""

import base64
import errno
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import unquote, urlsplit

from puna.errors import Unavailable

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

_CONNECT_TIMEOUT_S = 5.0
_PROXY_PORT = 80


class Unreachable(Unavailable):
    """Nothing answers at that address.

    `refused` is true when the machine is there and nothing listens.
    """

    code = "unreachable"

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def stranger_session(
    resolver: "AbstractResolver", *, agent: str, patience_s: float, verifies: bool = True
) -> "aiohttp.ClientSession":
    """Make a session to servers that nobody vouches for; redirects are for its user to follow.

    `patience_s` is how long a connection, an answer or the next byte of it may take. It reads no
    environment (so no `.netrc`), keeps no cookies and unpacks nothing. The caller closes it.
    """
    import aiohttp  # noqa: PLC0415 - 0.4 s to import, and the command line needs only the other half of this file

    connector = aiohttp.TCPConnector(
        limit=0, resolver=resolver, use_dns_cache=False, ssl=verifies, ttl_dns_cache=None
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience_s, sock_read=patience_s)
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        timeout=timeout,
        read_bufsize=2**20,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=2**15,
        max_field_size=2**15,
    )


def named_session(
    base_url: str, headers: Mapping[str, str], *, proxy: str = ""
) -> "aiohttp.ClientSession":
    """Make a session to an address that a person named, a node's for instance.

    No timeout on the whole: an answer takes as long as it takes. The caller closes the session,
    which drops its connections and so calls off what is being answered.
    """
    import aiohttp  # noqa: PLC0415 - see above

    return aiohttp.ClientSession(
        base_url,
        connector=aiohttp.TCPConnector(limit=0),
        headers=dict(headers),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        read_bufsize=2**18,
        trust_env=False,
        proxy=proxy or None,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def socket_session(path: str) -> "aiohttp.ClientSession":
    """Make a session to a program on this machine that listens on a socket file.

    No timeout on the whole, as with `named_session`. The caller closes it.
    """
    import aiohttp  # noqa: PLC0415 - see above

    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        read_bufsize=2**18,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class Answer:
    """The reply to one request. Its body can be read whole or by lines.

    `close` drops the connection.
    """

    def __init__(
        self, connection: http.client.HTTPConnection, reply: http.client.HTTPResponse
    ) -> None:
        self._connection = connection
        self._reply = reply
        self.status = reply.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in reply.getheaders()
        }

    def read(self) -> bytes:
        """Return the whole body. Blocks. Raises `Unreachable` if the other side breaks off."""
        try:
            return self._reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("the server broke off in the middle of its answer") from error
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line as it arrives. Blocks.

        Raises `Unreachable` if the other side breaks off.
        """
        try:
            while line := self._reply.readline():
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("the server broke off in the middle of its answer") from error
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection; a server takes that as the client having gone away."""
        self._reply.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Caller:
    """Makes blocking requests to one address, a connection each. Not for asynchronous code."""

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int,
        *,
        prefix: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.scheme, self.host, self.port, self.prefix = scheme, host, port, prefix.rstrip("/")
        self._headers = dict(headers or {})
        self._proxy = ""

    def through(self, proxy: str) -> Self:
        """Go by a proxy from now on, if one is given, such as `http://NAME:PASSWORD@HOST:PORT`."""
        self._proxy = proxy
        return self

    @property
    def url(self) -> str:
        """The address as a person writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send a request and return the answer once its headers are here. Raises `Unreachable`.

        `timeout_s` bounds the wait for the answer to begin and each read of it; None waits
        as long as it takes. A file is sent as it is read.
        """
        connection = self._connect()
        headers = self._headers | _describing(body)
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            if self._proxy and self.scheme == "http":
                headers |= _credentials(self._proxy)
            connection.request(method, self._target(path), body=body, headers=headers)
            return Answer(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(
                f"{self.url} does not answer as an HTTP server: {_reason(error)}"
            ) from error

    def _target(self, path: str) -> str:
        """Return what is asked for: of a proxy for plain HTTP, the whole address."""
        is_whole = self._proxy and self.scheme == "http"
        return self.url + path if is_whole else self.prefix + path

    def _connect(self) -> http.client.HTTPConnection:
        make = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        host, port = _place_of(self._proxy) if self._proxy else (self.host, self.port)
        connection = make(host, port, timeout=_CONNECT_TIMEOUT_S)
        if self._proxy and self.scheme == "https":
            connection.set_tunnel(self.host, self.port, _credentials(self._proxy))
        try:
            connection.connect()
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED
            by = f" by the proxy {host}:{port}" if self._proxy else ""
            raise Unreachable(
                f"nothing answers at {self.url}{by}: {_reason(error)}", refused=refused
            ) from error
        return connection


def _place_of(proxy: str) -> tuple[str, int]:
    """Return where a proxy listens. Raises `Unreachable` for one that is spoken to in TLS."""
    place = urlsplit(proxy)
    try:
        port = place.port or _PROXY_PORT
    except ValueError:
        port = 0
    if place.scheme != "http" or not place.hostname or not port:
        raise Unreachable("the proxy in HTTP_PROXY or HTTPS_PROXY is not like http://HOST:PORT")
    return place.hostname, port


def _credentials(proxy: str) -> dict[str, str]:
    """Return the header that tells a proxy who asks, where its URL says so."""
    place = urlsplit(proxy)
    if not place.username:
        return {}
    pair = f"{unquote(place.username)}:{unquote(place.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _describing(body: bytes | BinaryIO | None) -> dict[str, str]:
    """Return the headers for a body: JSON, or a file of a length that its name tells."""
    if body is None:
        return {}
    if isinstance(body, bytes):
        return {"Content-Type": "application/json"}
    length = os.fstat(body.fileno()).st_size
    return {"Content-Type": "application/octet-stream", "Content-Length": str(length)}


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
