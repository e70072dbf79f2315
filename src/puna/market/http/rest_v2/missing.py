"""What RunPod's version 2 has and this market has not.

Clients ask for these lists on their way to something else, and what they made they look for again,
so a list is empty, one of them is not found, and only who wants to make one is refused: 501, with
what to do instead.
"""

from dataclasses import dataclass, replace

from fastapi import APIRouter

from puna.errors import NotFound, Unsupported
from puna.market.http.auth import Renter

router = APIRouter(prefix="/v2", tags=["missing"])
ONE = ["GET", "PUT", "PATCH", "DELETE"]


class NotHere(Unsupported):
    """RunPod has it and this market has not."""

    code = "not_offered"


class NoneHere(NotFound):
    """Of what this market has not, there is none of any id."""

    code = "not_offered"


@dataclass(frozen=True, slots=True)
class Missing:
    """A kind of thing that this market has not."""

    root: str
    named: str
    """What the list of them is called in a reply."""
    what: str
    instead: str
    is_paged: bool = False
    """Whether RunPod's clients read its list in pages."""

    @property
    def all_of_them(self) -> dict[str, object]:
        """Return the list as a reply has it: there are none."""
        pages = {"pagination": {"hasNextPage": False, "nextCursor": None}}
        return {self.named: [], **(pages if self.is_paged else {})}

    def none(self, one: str) -> NoneHere:
        """Return the error for one of them."""
        return NoneHere(f"there is no {one}: this market has no {self.what}", hint=self.instead)

    def refused(self) -> NotHere:
        """Return the error for whoever wants one."""
        return NotHere(f"this market has no {self.what}", hint=self.instead)


VOLUMES = Missing(
    "network-volumes",
    "networkVolumes",
    "network volumes",
    "ask for mounts.persistent, a volume of the pod's own",
    is_paged=True,
)
SERVERLESS = Missing(
    "serverless", "endpoints", "serverless endpoints", "rent a pod and open a port of it"
)
_KINDS = (
    Missing(
        "registries/delegations",
        "delegations",
        "delegations of registries",
        "keep a name and a password instead",
    ),
    VOLUMES,
    replace(VOLUMES, root="global-volumes", named="globalVolumes", what="global volumes"),
    SERVERLESS,
    Missing("clusters", "clusters", "clusters", "rent the pods one by one"),
)


def add_missing(router: APIRouter, kind: Missing, root: str, *, is_bare: bool = False) -> None:
    """Answer for a kind of thing under `root`; `is_bare` where a list has no name around it."""

    async def all_of_them(caller: Renter) -> list[None] | dict[str, object]:
        """Return an empty list: there are none."""
        del caller
        return [] if is_bare else kind.all_of_them

    async def refuse(caller: Renter) -> None:
        del caller
        raise kind.refused()

    async def find(caller: Renter, rest: str) -> None:
        del caller
        raise kind.none(rest.partition("/")[0])

    router.add_api_route(f"/{root}", all_of_them, methods=["GET"])
    router.add_api_route(f"/{root}", refuse, methods=["POST"], include_in_schema=False)
    path = f"/{root}/{{rest:path}}"
    router.add_api_route(path, find, methods=[*ONE, "POST"], include_in_schema=False)


for _kind in _KINDS:
    add_missing(router, _kind, _kind.root)
