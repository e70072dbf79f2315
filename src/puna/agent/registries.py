"""Which registries an engine is sent to: none on this machine or on its owner's networks.

A pull is a request that a renter aims: what the engine says of its failure would tell who listens
where. A registry that sends the engine on to such an address is the engine's to refuse, and it does
not: docs/lending.md says so.
"""

import asyncio
import socket
from contextlib import suppress

from puna.agent.containers import registry_of
from puna.errors import Invalid
from puna.origin import Nearness, nearness_of


class NearRegistry(Invalid):
    """An image names a registry on this machine or on its owner's networks."""

    code = "near_registry"


async def check_registry(image: str) -> None:
    """Raise `NearRegistry` for an image whose registry is near. One that is unknown passes."""
    host = registry_of(image)
    addresses = [host]
    with suppress(OSError, UnicodeError):  # no such name, as the engine will say
        found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        addresses += [str(each[4][0]) for each in found]
    if any(nearness_of(address) is not Nearness.PUBLIC for address in addresses):
        raise NearRegistry(
            f"the registry {host} is on the networks of this machine's owner",
            hint="the owner may allow it: PUNA_AGENT_LOCAL_REGISTRIES=true",
        )
