"""What RunPod's version 1 has and this market has not: lists are empty, the rest is 501."""

from fastapi import APIRouter

from puna.market.http.auth import Renter
from puna.market.http.rest_v2.missing import EVERY_METHOD, NotHere

router = APIRouter(prefix="/v1", tags=["v1 missing"])
_LACKING = {
    "endpoints": ("serverless endpoints", "rent a pod and open a port of it"),
    "networkvolumes": ("network volumes", "ask for volumeInGb, a volume of the pod's own"),
}
_EMPTY = (*_LACKING, "billing/endpoints", "billing/networkvolumes")


async def nothing(caller: Renter) -> list[None]:
    """Return an empty list: there are none."""
    del caller
    return []


def _add(root: str, what: str, instead: str) -> None:
    async def refuse(caller: Renter) -> None:
        del caller
        raise NotHere(f"this market has no {what}", hint=instead)

    for path in (f"/{root}", f"/{root}/{{rest:path}}"):
        router.add_api_route(path, refuse, methods=EVERY_METHOD, include_in_schema=False)


for _root in _EMPTY:
    router.add_api_route(f"/{_root}", nothing, methods=["GET"])
for _root, (_what, _instead) in _LACKING.items():
    _add(_root, _what, _instead)
