"""Which way the gateway is dialled: by SSH, or in a WebSocket where a network lets no SSH out.

A way that worked is kept to, since the other costs a wait where packets are dropped; only when it
fails again and again may the network have become another. Pure.
"""

from enum import StrEnum

_PATIENCE = 3
"""A market that starts again lets one or two attempts fail."""


class Way(StrEnum):
    """How a link is carried."""

    SSH = "SSH"
    WEBSOCKET = "WebSocket"


class Ways:
    """What was learned of this network so far."""

    def __init__(self, *, has_socket: bool = True, is_proxied: bool = False) -> None:
        """Behind a proxy the market's HTTPS is the way that is known to be open."""
        first = Way.WEBSOCKET if is_proxied else Way.SSH
        other = Way.SSH if is_proxied else Way.WEBSOCKET
        self._both = (first, other) if has_socket else (Way.SSH,)
        self._failures = 0
        self.known: Way | None = None
        """The one that worked last."""

    def to_try(self) -> tuple[Way, ...]:
        """Return what an attempt tries, in this order."""
        if self.known is None:
            return self._both
        if self._failures < _PATIENCE:
            return (self.known,)
        return (self.known, *(each for each in self._both if each is not self.known))

    def worked(self, way: Way) -> bool:
        """Note that a link was opened; tell whether that is news."""
        is_news = self.known is not way
        self.known, self._failures = way, 0
        return is_news

    def failed(self) -> None:
        """Note that an attempt opened none."""
        self._failures += 1
