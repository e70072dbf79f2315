"""What every path needs: the node, and the answers under way. It travels with the request."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from fastapi import Request
from starlette.types import Scope

from puna.errors import Invalid
from puna.node.api.metrics import Metrics
from puna.node.api.streaming import OpenAnswers
from puna.node.batches.batches import Batches
from puna.node.node import Node
from puna.node.shelf import Shelf
from puna.origin import Nearness, nearness_of

_KEY = "puna.desk"
_REQUEST = "puna.request"
_ID_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Desk:
    """One node as its HTTP face sees it."""

    node: Node
    answers: OpenAnswers = field(default_factory=OpenAnswers)
    metrics: Metrics = field(default_factory=Metrics)
    nearness: Callable[[str], Nearness] = nearness_of
    """Tells how near an address is that a client wants something fetched from."""
    shelf: Shelf = field(init=False)
    batches: Batches = field(init=False)

    def __post_init__(self) -> None:
        home, world = self.node.settings.home, self.node.world
        object.__setattr__(self, "shelf", Shelf(home / "files", world))
        object.__setattr__(self, "batches", Batches(home / "batches", self.shelf, world))


def seat(desk: Desk, scope: Scope) -> None:
    """Let a request find `desk`."""
    scope[_KEY] = desk


def desk_of(request: Request) -> Desk:
    """Return the desk that a request came to."""
    return cast("Desk", request.scope[_KEY])


def required(model: str | None) -> str:
    """Return the name of the model that is asked for. Raises `Invalid` if there is none."""
    if not model:
        raise Invalid("model is required")
    return model


def request_id(scope: Scope | None) -> str:
    """Return the id of a request, the same each time; empty before it has come to a desk."""
    if scope is None or _KEY not in scope:
        return ""
    if _REQUEST not in scope:
        desk = cast("Desk", scope[_KEY])
        scope[_REQUEST] = f"req_{desk.node.world.token()[:_ID_DIGITS]}"
    return cast("str", scope[_REQUEST])
