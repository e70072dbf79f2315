"""What agents ask: to join, and to report. The answer to a report is everything that should be."""

from fastapi import APIRouter, Request

from puna.market.actions import hosting
from puna.market.http.auth import ThisMarket, key_in, writing
from puna.wire.agent import PATH, Join, Joined, Orders, Report

router = APIRouter(prefix=PATH)


@router.post("/join")
async def join(market: ThisMarket, request: Join) -> Joined:
    """Take a machine in by a token; its key is shown this once."""
    async with writing(market) as tx:
        return await hosting.join(tx, market.world, request)


@router.post("/report")
async def report(market: ThisMarket, call: Request, told: Report) -> Orders:
    """Note what a host sees, and answer what should be on it."""
    async with writing(market) as tx:
        return await hosting.take_report(tx, market.world, key_in(call), told)
