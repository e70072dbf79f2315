"""Models as the command line sees them: through a node, or straight in the store."""

from collections.abc import Iterator
from typing import Protocol

from puna.cli.reach import find_node, open_store
from puna.cli.session import Session
from puna.node.card import ModelCard, show_card
from puna.node.client import NodeClient
from puna.node.pulling import pull, push
from puna.progress import Progress


class Shelf(Protocol):
    """The verbs that need no server."""

    def show(self, model: str, *, verbose: bool = False) -> ModelCard:
        """Return what is known of one model."""

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""

    def unload(self, model: str) -> None:
        """Take a model out of memory, if it is there."""

    def delete(self, model: str) -> None:
        """Remove a name, and the files that nothing else uses."""

    def pull(self, model: str, *, insecure: bool = False) -> Iterator[Progress]:
        """Fetch a model, yielding how far it is."""

    def push(self, model: str, *, insecure: bool = False) -> Iterator[Progress]:
        """Send a model to its registry, yielding how far it is."""


class NodeShelf:
    """The models of a node."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self.copy, self.unload, self.delete = client.copy, client.unload, client.delete

    def show(self, model: str, *, verbose: bool = False) -> ModelCard:
        """Return what the node knows of one model."""
        return show_card(self._client, model, verbose=verbose)

    def pull(self, model: str, *, insecure: bool = False) -> Iterator[Progress]:
        """Have the node fetch a model."""
        return pull(self._client, model, insecure=insecure)

    def push(self, model: str, *, insecure: bool = False) -> Iterator[Progress]:
        """Have the node send a model."""
        return push(self._client, model, insecure=insecure)


def shelf_of(session: Session) -> Shelf:
    """Return the models: through the node if one runs, else straight from the store here."""
    client = find_node(session)
    return open_store(session) if client is None else NodeShelf(client)
