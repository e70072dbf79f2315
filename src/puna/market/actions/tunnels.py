"""A host's tunnel: the key that it may dial with, and the process of the market that holds it."""

from puna.market.actions.accounts import digest_of
from puna.market.actions.hosting import InvalidReport, UnknownHost
from puna.market.db import hosts, tunnels
from puna.market.db.database import Transaction

_KIND = "ssh-ed25519"
_LENGTH = 68
"""Of such a key in base64."""


async def register_tunnel(tx: Transaction, secret: str, public_key: str) -> str:
    """Keep the key that a host will dial its tunnel with, and return the host.

    The last one is good. Raises `UnknownHost`, `InvalidReport`.
    """
    host = await hosts.host_by(tx, digest_of(secret))
    if host is None:
        raise UnknownHost("no host of this market has this key", hint="join again with a new token")
    kind, _, rest = public_key.partition(" ")
    text = rest.partition(" ")[0]
    if kind != _KIND or len(text) != _LENGTH or not text.isascii():
        raise InvalidReport("a tunnel's key is an ed25519 key in OpenSSH's one-line format")
    await tunnels.set_tunnel_key(tx, host, f"{_KIND} {text}")
    return host
