"""Our own routes for ways into a pod: share links to its ports, and tickets for its terminal."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from puna.market.actions import shares
from puna.market.db.shares import Share
from puna.market.gateway.gateway import Gateway
from puna.market.http.auth import Renter, ThisGateway, ThisMarket, reading, writing
from puna.market.market import Market
from puna.units import Span

router = APIRouter(prefix="/v2/puna/pods/{pod}")


class ShareWish(BaseModel):
    """`POST /v2/puna/pods/{pod}/shares`."""

    model_config = ConfigDict(extra="forbid")

    port: int = Field(ge=1, le=65535)
    lasts: str = "24h"
    """Such as `30m`, `24h` or `168h`."""


class Page(BaseModel):
    """Which part of a list is asked for: what comes behind an id."""

    model_config = ConfigDict(extra="forbid")

    after: str = ""
    limit: int = Field(default=100, ge=1, le=1000)


@router.post("/shares", status_code=201)
async def share(
    market: ThisMarket, gateway: ThisGateway, caller: Renter, pod: str, wish: ShareWish
) -> Mapping[str, object]:
    """Make a link to a port of a pod: whoever has it may call that port until it is over."""
    lives = Span.parse(wish.lasts).timedelta
    async with writing(market) as tx:
        made = await shares.share_port(tx, market.world, caller, (pod, wish.port, lives))
    return _told(made, market, gateway)


@router.get("/shares")
async def shared(
    market: ThisMarket,
    gateway: ThisGateway,
    caller: Renter,
    pod: str,
    page: Annotated[Page, Query()],
) -> Mapping[str, object]:
    """Return a page of a pod's share links."""
    async with reading(market) as tx:
        found = await shares.shares_of(tx, caller, pod, after=page.after, limit=page.limit)
    return {"shares": [_told(each, market, gateway) for each in found]}


@router.delete("/shares/{share}", status_code=204)
async def revoke(market: ThisMarket, caller: Renter, pod: str, share: str) -> Response:
    """End a share link."""
    async with writing(market) as tx:
        await shares.revoke_share(tx, market.world, caller, pod, share)
    return Response(status_code=204)


@router.post("/terminal", status_code=201)
async def ticket(market: ThisMarket, caller: Renter, pod: str) -> Mapping[str, object]:
    """Return a page with a terminal of a pod, and the ticket that opens it once within a minute.

    The ticket stands behind the `#` of the address, which no browser sends to anybody.
    """
    async with writing(market) as tx:
        secret = await shares.make_ticket(tx, market.world, caller, pod)
    return {"url": f"{market.settings.url}/terminal/{pod}#{secret}", "ticket": secret}


def _told(share: Share, market: Market, gateway: Gateway) -> Mapping[str, object]:
    token = gateway.admission.token(share)
    settings = market.settings
    scheme, _, place = settings.url.partition("://")
    port = place.partition("/")[0].partition(":")[2]
    urls = [f"{settings.url}/s/{token}/"]
    if settings.domain:
        host = f"{share.pod}-{share.port}.{settings.domain}{f':{port}' if port else ''}"
        urls.insert(0, f"{scheme}://{host}/?puna_share={token}")
    is_over = share.revoked is not None or share.expires <= market.world.now()
    return {
        "id": share.id,
        "port": share.port,
        "url": urls[0],
        "urls": urls,
        "createdAt": _moment(share.created),
        "expiresAt": _moment(share.expires),
        "isOver": is_over,
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
