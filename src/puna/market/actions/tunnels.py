"""A host's tunnel: the key that it may dial with, and the process of the market that holds it."""

from puna.market.actions.hosting import host_by
from puna.market.actions.sightings import InvalidReport
from puna.market.db import tunnels
from puna.market.db.database import Transaction

_KIND = "ssh-ed25519"
_LENGTH = 68
"""Of such a key in base64."""


async def register_tunnel(tx: Transaction, secret: str, public_key: str) -> str:
    """Keep the key that a host will dial its tunnel with, and return the host.

    The last one is good. Raises `UnknownHost`, `InvalidReport`.
    """
    host = await host_by(tx, secret)
    kind, _, rest = public_key.partition(" ")
    text = rest.partition(" ")[0]
    if kind != _KIND or len(text) != _LENGTH or not text.isascii():
        raise InvalidReport("a tunnel's key is an ed25519 key in OpenSSH's one-line format")
    await tunnels.set_tunnel_key(tx, host, f"{_KIND} {text}")
    return host
