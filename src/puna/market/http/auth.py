"""Who asks, and what each may do: dependencies of the routes.

A key travels as a bearer token, as a bare key in `Authorization`, or (GraphQL alone) as `?api_key=`
in the address. Without a good one it is 401, with one that may not, 403.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from puna.errors import Denied
from puna.market.actions.accounts import (
    UnknownKey,
    check_may_manage,
    check_may_write,
    identify,
)
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.gateway.gateway import Gateway
from puna.market.http.watch import tell_of
from puna.market.market import Market

GRAPHQL = "/graphql"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class OperatorsOnly(Denied):
    """Only the market's operator may do this."""

    code = "operators_only"


def market_of(request: Request) -> Market:
    """Return the market that serves a request."""
    market = request.app.state.market
    assert isinstance(market, Market)  # noqa: S101 - set when the application is built
    return market


ThisMarket = Annotated[Market, Depends(market_of)]


def gateway_of(request: Request) -> Gateway:
    """Return the gateway of the process that serves a request."""
    gateway = request.app.state.gateway
    assert isinstance(gateway, Gateway)  # noqa: S101 - set when the application is built
    return gateway


ThisGateway = Annotated[Gateway, Depends(gateway_of)]


@asynccontextmanager
async def reading(market: Market) -> AsyncIterator[Transaction]:
    """Yield a transaction that only looks: it waits for nobody."""
    async with market.database.reading() as tx:
        yield tx


@asynccontextmanager
async def writing(market: Market) -> AsyncIterator[Transaction]:
    """Yield a transaction that changes something; once it is kept, loops and hosts are nudged."""
    async with market.database.transaction() as tx:
        yield tx
    market.nudge()


def key_in(request: HTTPConnection) -> str:
    """Return the key that a request carries, empty for none."""
    sent = request.headers.get("authorization", "").strip()
    scheme, _, rest = sent.partition(" ")
    if rest:
        return rest.strip() if scheme.lower() == "bearer" else ""
    if not sent and request.url.path == GRAPHQL:
        return request.query_params.get("api_key", "")
    return sent


async def caller_of(market: Market, secret: str) -> Caller:
    """Return whose key this is. Raises `UnknownKey`."""
    if not secret:
        raise UnknownKey("the request has no key", hint="send Authorization: Bearer KEY")
    async with reading(market) as tx:
        return await identify(tx, market.world, secret)


async def _renter(request: Request, market: ThisMarket) -> Caller:
    """Return who asks. In GraphQL each mutation asks by itself whether it may write."""
    caller = await caller_of(market, key_in(request))
    tell_of(request.scope, caller.key.prefix)
    if not _is_for(caller, request.url.path):
        check_may_manage(caller)
    if request.method not in _READS and request.url.path != GRAPHQL:
        check_may_write(caller)
    return caller


def _is_for(caller: Caller, path: str) -> bool:
    """Tell whether a route is about the very pod that a key lies in. GraphQL sees to it itself."""
    own = (f"/v1/pods/{caller.key.pod}", f"/v2/pods/{caller.key.pod}")
    return path == GRAPHQL or path in own or path.startswith(tuple(f"{each}/" for each in own))


Renter = Annotated[Caller, Depends(_renter)]
"""Who asks, with a key that may do what the method says."""


async def operator(caller: Renter) -> Caller:
    """Return the operator who asks. Raises `OperatorsOnly`."""
    if not caller.account.is_admin:
        raise OperatorsOnly("only the market's operator may do this")
    return caller


Operator = Annotated[Caller, Depends(operator)]
"""The market's operator."""
