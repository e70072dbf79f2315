"""All connections of clients to one process, and how many there may be.

A connection on which nothing is asked costs its owner nothing, so ten thousand are soon opened. One
that is answered is never ended for another. When there are as many as there may be, the one that
has been without a request for longest makes room, be it that its client has begun one and never
ends it; so whoever comes with a request is served, however many come without.

Addresses of this machine have no limit of their own: a proxy may stand there, for everybody.
"""

import asyncio
from collections import Counter

from puna.market.gateway.bounds import Bounds

_NO_NETWORK = frozenset({"", "127.0.0.1", "::1"})
_NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
    b"puna-error-code: too_busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class Crowd:
    """Who is connected, and who asks for nothing."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._addresses: dict[asyncio.Transport, str] = {}
        self._from: Counter[str] = Counter()
        self._idle: dict[asyncio.Transport, None] = {}
        self._idle_from: dict[str, dict[asyncio.Transport, None]] = {}

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._addresses)

    def enter(self, line: asyncio.Transport) -> bool:
        """Take a connection in; tell whether there was room for it. It may be in already."""
        if line in self._addresses:
            self.rest(line)
            return True
        address, most = address_of(line), self._bounds.most_from_one
        if most and address not in _NO_NETWORK and self._from[address] >= most:
            self._make_room(self._idle_from.get(address, {}))
        elif len(self) >= self._bounds.most_clients:
            self._make_room(self._idle)
        else:
            most = 0
        is_full = len(self) >= self._bounds.most_clients
        if is_full or (most and self._from[address] >= most):
            line.write(_NO_ROOM)
            line.close()
            return False
        self._addresses[line] = address
        self._from[address] += 1
        self.rest(line)
        return True

    def rest(self, line: asyncio.Transport) -> None:
        """Note that a connection has nothing asked on it from now on."""
        address = self._addresses.get(line)
        if address is not None:
            self._idle.setdefault(line)
            self._idle_from.setdefault(address, {}).setdefault(line)

    def work(self, line: asyncio.Transport) -> None:
        """Note that a request has come over a connection."""
        if line in self._idle:
            del self._idle[line]
            address = self._addresses[line]
            mine = self._idle_from[address]
            del mine[line]
            if not mine:
                del self._idle_from[address]

    def leave(self, line: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        self.work(line)
        address = self._addresses.pop(line, None)
        if address is not None:
            self._from[address] -= 1
            if not self._from[address]:
                del self._from[address]

    def _make_room(self, idle: dict[asyncio.Transport, None]) -> None:
        longest = next(iter(idle), None)
        if longest is not None:
            self.leave(longest)
            longest.abort()


def address_of(line: asyncio.Transport) -> str:
    """Return whose connection it is, as far as the network knows."""
    return str((line.get_extra_info("peername") or ("",))[0])
