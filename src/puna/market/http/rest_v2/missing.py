"""What RunPod's version 2 has and this market has not: 501, and what to do instead."""

from fastapi import APIRouter

from puna.errors import Unsupported
from puna.market.http.auth import Renter

router = APIRouter(prefix="/v2", tags=["missing"])
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_INSTEAD = {
    "network-volumes": ("network volumes", "ask for mounts.persistent, a volume of the pod's own"),
    "serverless": ("serverless endpoints", "rent a pod and open a port of it"),
    "clusters": ("clusters", "rent the pods one by one"),
    "registries/delegations": ("delegations of registries", "keep a name and a password instead"),
}


class NotHere(Unsupported):
    """RunPod has it and this market has not."""

    code = "not_offered"


def not_here(path: str) -> NotHere:
    """Return the error for a path of something that this market has not."""
    what, instead = next(each for root, each in _INSTEAD.items() if path.startswith(root))
    return NotHere(f"this market has no {what}", hint=instead)


def _add(root: str) -> None:
    async def refuse(caller: Renter) -> None:
        del caller
        raise not_here(root)

    for path in (f"/{root}", f"/{root}/{{rest:path}}"):
        router.add_api_route(path, refuse, methods=EVERY_METHOD, include_in_schema=False)


for _root in _INSTEAD:
    _add(_root)
