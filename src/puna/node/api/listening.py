"""Taking an address to serve at, before anything else: what every server of puna begins with."""

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from puna.errors import Conflict, Failed
from puna.settings import Address

BACKLOG = 2048
IDLE_CONNECTION_S = 120
"""Longer than clients keep theirs (httpx 5 s, Go 90 s), so that they close first."""


class PortInUse(Conflict):
    """Another program listens at the address; the message says which, if it tells."""

    code = "port_in_use"


class CannotListen(Failed):
    """The address is not one of this machine, or may not be used."""

    code = "cannot_listen"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop; None for the system's own."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - does not exist on Windows

    return uvloop.new_event_loop


def allow_many_connections() -> None:
    """Open as many files as the system allows: each client is one, and 1024 are the usual limit."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - does not exist on Windows

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def files_allowed() -> int:
    """Return how many files this process may open."""
    if sys.platform == "win32":
        return 2**31
    import resource  # noqa: PLC0415 - does not exist on Windows

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2**31 if most == resource.RLIM_INFINITY else most


@contextmanager
def listen_at(
    address: Address, *, in_use: Callable[[Address], PortInUse], variable: str
) -> Iterator[socket.socket]:
    """Listen at an address. Raises `PortInUse` or `CannotListen`."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address.host}: {_reason(error)}") from error
    with listener:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(place)
            listener.listen(BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise in_use(address) from error
            raise CannotListen(
                f"cannot listen on {address.host}:{address.port}: {_reason(error)}",
                hint=f"{variable} names the address, such as {variable}=127.0.0.1:11501",
            ) from error
        yield listener


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def bound(address: Address, listener: socket.socket) -> Address:
    """Return the address with its real port, which the system chooses for port 0."""
    return Address(address.scheme, address.host, listener.getsockname()[1], address.path)


def say(line: str) -> None:
    """Write a line for whoever started the server."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
