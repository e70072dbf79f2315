"""What every route needs: the node, and the answers under way."""

from dataclasses import dataclass, field
from typing import cast

from fastapi import Request

from puna.node.api.streaming import OpenAnswers
from puna.node.node import Node


@dataclass(frozen=True, slots=True)
class Desk:
    """One node as its HTTP face sees it."""

    node: Node
    answers: OpenAnswers = field(default_factory=OpenAnswers)


def desk_of(request: Request) -> Desk:
    """Return the desk of the application that `request` came to."""
    return cast("Desk", request.app.state.desk)
