"""Find the node, or do without: who answers a command when a server runs, and when none does.

Listing, showing, copying, removing and fetching need no server: they work on the store directly
when the address is on this machine and nothing listens there. Whatever else listens there is named,
and never written to. That nothing listens is learnt from a bare connection, before the HTTP client
is imported, which takes as long as all the rest of `puna list`.
"""

import socket
from importlib import import_module
from typing import TYPE_CHECKING

from puna.cli.session import Session
from puna.errors import Unavailable

if TYPE_CHECKING:
    from puna.cli.offline import StoreShelf
    from puna.node.client import NodeClient

_PROBE_S = 5.0


class NoNode(Unavailable):
    """No server runs where the command looks for one."""

    code = "no_node"


def client_of(session: Session) -> "NodeClient":
    """Return the client for the node's address; nothing is sent yet."""
    settings = session.settings
    node = import_module("puna.node.client")
    key = settings.api_key or settings.client_key or _cloud_key(session)
    client: NodeClient = node.NodeClient(node.caller_for(settings.host.for_client(), key))
    return client


def _cloud_key(session: Session) -> str:
    """Return the key of the cloud in whose pod the node is, if it is in one."""
    address = session.settings.host.for_client()
    if address.is_loopback and not address.path:
        return ""
    key: str = import_module("puna.cloud.settings").key_for(address, session.environ)
    return key


def is_local(session: Session) -> bool:
    """Whether the node's address is on this machine. A path leads through somebody's gateway."""
    address = session.settings.host.for_client()
    return address.is_loopback and not address.path


def find_node(session: Session) -> "NodeClient | None":
    """Return the client of the node that runs on this machine; none if nothing listens.

    Raises `NoNode` if nothing answers at an address elsewhere, `NotANode` if something else does.
    """
    if is_local(session) and _is_refused(session):
        return None
    client = client_of(session)
    unreachable: type[Unavailable] = import_module("puna.net").Unreachable
    try:
        client.greet()
    except unreachable as error:
        raise NoNode(f"could not connect to the server: {error.message}") from error
    return client


def require_node(session: Session) -> "NodeClient":
    """Return the client of a node that answers. Raises `NoNode`."""
    client = find_node(session)
    if client is None:
        raise NoNode("could not connect to puna server, run 'puna serve' to start it")
    return client


def open_store(session: Session) -> "StoreShelf":
    """Return the models of the store on this machine, without a node."""
    shelf: StoreShelf = import_module("puna.cli.offline").StoreShelf(session)
    return shelf


def _is_refused(session: Session) -> bool:
    """Tell whether nothing listens at the address; any other trouble is for the client to name."""
    address = session.settings.host.for_client()
    try:
        with socket.create_connection((address.host, address.port), timeout=_PROBE_S):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
