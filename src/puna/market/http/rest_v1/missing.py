"""What RunPod's version 1 has and this market has not: nothing is found, and none can be made."""

from dataclasses import replace

from fastapi import APIRouter

from puna.market.http.auth import Renter
from puna.market.http.rest_v2.missing import SERVERLESS, VOLUMES, add_missing

router = APIRouter(prefix="/v1", tags=["v1 missing"])
_EMPTY = ("billing/endpoints", "billing/networkvolumes")
_VOLUMES = replace(VOLUMES, instead="ask for volumeInGb, a volume of the pod's own")


async def nothing(caller: Renter) -> list[None]:
    """Return an empty list: there are none."""
    del caller
    return []


for _path in _EMPTY:
    router.add_api_route(f"/{_path}", nothing, methods=["GET"])
add_missing(router, SERVERLESS, "endpoints", is_bare=True)
add_missing(router, _VOLUMES, "networkvolumes", is_bare=True)
