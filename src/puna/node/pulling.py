"""Have a node fetch, send or make a model, and read how far it is."""

from collections.abc import Iterator, Mapping

from puna.node.client import NodeClient
from puna.node.replies import Fields
from puna.progress import Done, Progress, Step, Transfer
from puna.units import Size


def pull(client: NodeClient, model: str, *, insecure: bool = False) -> Iterator[Progress]:
    """Fetch a model into the node's store, yielding how far it is."""
    body = {"model": model, "insecure": insecure, "stream": True}
    for reply in client.stream("/api/pull", body, is_last=_is_success):
        yield _progress(reply)


def push(client: NodeClient, model: str, *, insecure: bool = False) -> Iterator[Progress]:
    """Send a model of the node's store to its registry, yielding how far it is."""
    body = {"model": model, "insecure": insecure, "stream": True}
    for reply in client.stream("/api/push", body, is_last=_is_success):
        yield _progress(reply)


def create(client: NodeClient, body: Mapping[str, object]) -> Iterator[Progress]:
    """Have a model made in the node's store, yielding each step."""
    for reply in client.stream("/api/create", {**body, "stream": True}, is_last=_is_success):
        yield _progress(reply)


def _is_success(reply: Fields) -> bool:
    return reply.text("status") == "success"


def _progress(reply: Fields) -> Progress:
    status = reply.text("status")
    if reply.text("digest"):
        return Transfer(
            status, reply.text("digest"), Size(reply.whole("total")), Size(reply.whole("completed"))
        )
    return Done() if status == "success" else Step(status)
