"""What agents ask: to join, and to report. The answer to a report is everything that should be.

A host that knows its orders already is answered when there are others, so that it learns of a pod
at once and an idle one asks twice a minute. Nothing of the database is held meanwhile.
"""

from fastapi import APIRouter, Request, Response

from puna.market.actions import hosting
from puna.market.actions.earning import earned
from puna.market.actions.logs import keep_log
from puna.market.actions.tunnels import register_tunnel
from puna.market.bells import wait_for_any
from puna.market.http.auth import ThisGateway, ThisMarket, key_in, reading, writing
from puna.market.http.watch import tell_of
from puna.market.market import Market
from puna.units import Span
from puna.wire.agent import PATH, SAMPLE, Earnings, Join, Joined, Orders, Question, Report
from puna.wire.tunnel import AGENT, Door, Ended, Registration, Taken

router = APIRouter(prefix=PATH)
_LONGEST_WAIT = Span.of(seconds=25)
"""A host that says nothing for longer gets no new pods."""


@router.post("/join")
async def join(market: ThisMarket, request: Join) -> Joined:
    """Take a machine in by a token; its key is shown this once."""
    async with writing(market) as tx:
        joined = await hosting.join(tx, market.world, request)
    return joined.model_copy(update={"report_every_s": market.office.dispatch.report_every_s})


@router.post("/report")
async def report(market: ThisMarket, call: Request, told: Report) -> Orders:
    """Note what a host sees, and answer what should be on it."""
    secret = key_in(call)
    async with reading(market) as tx:
        host = await hosting.host_by(tx, secret)
    tell_of(call.scope, f"host:{host}")
    mark = market.waiting.mark_of(host)
    async with market.database.transaction() as tx:
        orders = await hosting.take_report(tx, market.world, market.office, secret, told)
    if market.waiting.shows_news(host, told.pods):
        market.nudge()
    if told.wait_s and told.knows == orders.version:
        orders = await _newer(market, host, mark, told)
    return orders


@router.post("/tunnel")
async def tunnel(
    market: ThisMarket, gateway: ThisGateway, call: Request, told: Registration
) -> Door:
    """Keep the key that a host will dial its tunnel with, and tell it where to dial."""
    async with market.database.transaction() as tx:
        host = await register_tunnel(tx, key_in(call), told.public_key)
    name, port = gateway.public
    return Door(host=name, port=port, user=f"{AGENT}{host}", gateway_key=gateway.keys.public)


@router.post("/log")
async def log(market: ThisMarket, call: Request, told: Ended) -> Taken:
    """Keep the last lines of a container that has ended."""
    async with market.database.transaction() as tx:
        return Taken(kept=await keep_log(tx, market.world, key_in(call), told))


@router.post("/earnings")
async def earnings(market: ThisMarket, call: Request) -> Earnings:
    """Tell a host what it has earned."""
    async with reading(market) as tx:
        return await earned(tx, market.world, key_in(call))


@router.get("/speed")
async def speed_down(market: ThisMarket, call: Request) -> Response:
    """Send a host a sample by which it measures its line."""
    async with reading(market) as tx:
        await hosting.host_by(tx, key_in(call))
    return Response(bytes(SAMPLE), media_type="application/octet-stream")


@router.post("/speed")
async def speed_up(market: ThisMarket, call: Request) -> Question:
    """Take a sample of a host's and forget it."""
    async with reading(market) as tx:
        await hosting.host_by(tx, key_in(call))
    async for _ in call.stream():
        pass
    return Question()


async def _newer(market: Market, host: str, mark: int | None, told: Report) -> Orders:
    """Return the orders as soon as they are others than the host knows, or when it waited."""
    end = market.world.elapsed() + min(Span.of(seconds=told.wait_s), _LONGEST_WAIT)
    while True:
        wait = market.waiting.begin(host, mark)
        try:
            left = Span(end - market.world.elapsed())
            await wait_for_any(market.world, left, wait, market.bells.ending)
        finally:
            is_last = market.waiting.end(host, wait)
        mark = market.waiting.mark_of(host)
        async with market.database.transaction() as tx:
            orders = await hosting.orders_of(tx, market.world, market.office, host)
        is_over = market.world.elapsed() >= end or market.bells.ending.is_set() or not is_last
        if orders.version != told.knows or is_over:
            return orders
