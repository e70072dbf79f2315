"""`GET /health`: whether this process and its database are well."""

from fastapi import APIRouter

from puna.market.http.auth import ThisMarket, reading
from puna.version import __version__

router = APIRouter()


@router.get("/health")
async def health(market: ThisMarket) -> dict[str, str]:
    """Tell that the market answers and its database with it. Needs no key."""
    async with reading(market):
        return {"status": "ok", "version": __version__}
