"""Who may ask what: keys in their three places, read-only keys, and the operator."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import APIRouter

from puna.market.actions.accounts import KeyWish
from puna.market.http.auth import GRAPHQL, Operator, Renter, ThisMarket, writing
from tests.market.serving import MarketServing, market_serving

WHO = "/test/who"
router = APIRouter()


@router.api_route(WHO, methods=["GET", "POST"])
@router.api_route(GRAPHQL, methods=["GET", "POST"])
async def who(caller: Renter) -> str:
    return caller.account.email


@router.get("/test/operate")
async def operate(caller: Operator) -> str:
    return caller.account.email


@router.get("/test/spoil")
async def spoil(market: ThisMarket) -> None:
    async with writing(market):
        raise RuntimeError("a secret of the market")


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path, extra=router) as market:
        yield market


async def test_a_key_tells_whose_it_is(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("GET", WHO, key=key)).json == "ann@example.org"


async def test_a_bare_key_does_too(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("GET", WHO, authorization=key)).json == "ann@example.org"


@pytest.mark.parametrize("sent", ["", "Bearer rpa_wrong", "rpa_wrong", "Basic abc", "Bearer "])
async def test_without_a_good_key_it_is_401(serving: MarketServing, sent: str) -> None:
    reply = await serving.ask("GET", WHO, authorization=sent)
    assert (reply.status, reply.json["code"]) == (401, "unknown_key")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_in_the_address_opens_graphql_alone(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("POST", f"{GRAPHQL}?api_key={key}")).status == 200
    assert (await serving.ask("POST", f"{WHO}?api_key={key}")).status == 401


async def test_graphql_says_401_in_its_own_form(serving: MarketServing) -> None:
    reply = await serving.ask("POST", GRAPHQL)
    assert reply.status == 401
    assert reply.json["errors"][0]["message"] == "the request has no key"


async def test_a_key_that_may_only_read_reads(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org", wish=KeyWish(may_write=False))
    assert (await serving.ask("GET", WHO, key=key)).status == 200
    reply = await serving.ask("POST", WHO, key=key)
    assert (reply.status, reply.json["code"]) == (403, "read_only_key")


async def test_only_the_operator_operates(serving: MarketServing) -> None:
    key = await serving.key("ann@example.org")
    assert (await serving.ask("GET", "/test/operate", key=key)).status == 403
    assert (await serving.ask("GET", "/test/operate", key=serving.admin_key)).status == 200


async def test_what_nobody_foresaw_gives_nothing_away(serving: MarketServing) -> None:
    reply = await serving.ask("GET", "/test/spoil")
    assert (reply.status, reply.json["code"]) == (500, "internal")
    assert b"secret" not in reply.body
