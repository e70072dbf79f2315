"""Words and numbers that no database keeps, and money that there is not, are told in a line."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from puna.errors import Invalid
from puna.units import Money
from tests.market.serving import MarketServing, market_serving

BIG = "9" * 25


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/puna/keys", {"name": "a\0b"}),
        ("POST", "/v2/puna/keys", {"name": "\ud800"}),
        ("POST", "/v2/puna/keys", {"name": "a", "expiresAfter": "9" * 5000 + "d"}),
        ("POST", "/v2/puna/keys", {"name": "a", "expiresAfter": "\ud800"}),
        ("PUT", "/v2/puna/budgets", {"scope": "account", "limit": BIG}),
        ("PUT", "/v2/puna/budgets", {"scope": "account", "limit": "1e999999999"}),
        ("PUT", "/v2/puna/budgets", {"scope": "project", "owner": "\0", "limit": "1"}),
        ("PUT", "/v2/puna/budgets", {"scope": "\ud800", "limit": "1"}),
        ("POST", "/v2/pods", {"name": "a\0"}),
        ("POST", "/v1/pods", {"name": "a\0"}),
        ("POST", "/v2/templates", {"name": "a", "image": "\ud800"}),
        ("POST", "/operator/v1/credit", {"account": "ann@example.org", "amount": BIG, "once": "1"}),
        ("POST", "/operator/v1/accounts", {"email": "a\0@b"}),
        ("POST", "/operator/v1/keys", {"account": "\ud800"}),
        ("DELETE", f"/operator/v1/notices/{BIG}", None),
        ("GET", f"/operator/v1/notices?after={BIG}", None),
        ("GET", "/v2/puna/bill?pod=%00", None),
        ("GET", "/operator/v1/keys?account=%00", None),
        ("DELETE", "/v2/puna/keys/%00", None),
        ("GET", "/v1/pods/a%00b", None),
    ],
)
async def test_what_cannot_be_kept_is_no_failure_of_the_market(
    serving: MarketServing, method: str, path: str, body: object
) -> None:
    reply = await serving.ask(method, path, body, key=serving.admin_key)
    assert 400 <= reply.status < 500 or (method == "GET" and reply.status == 200)


@pytest.mark.parametrize("text", ["1e9", "1e999999999", BIG, "-1e999999999", "9" * 5000])
def test_more_money_than_there_is_is_none(text: str) -> None:
    with pytest.raises(Invalid, match="more money than there is") as refused:
        Money.parse(text)
    assert len(refused.value.message) < 100


def test_the_most_money_is_read_exactly() -> None:
    assert Money.parse("999999999.999999") == 10**15 - 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v2/pods/x", "DELETE, GET, PATCH"),
        ("/v1/pods/x/update", "POST"),
        ("/v2/account/ssh-keys", "GET, PUT"),
    ],
)
async def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(
    serving: MarketServing, path: str, allowed: str
) -> None:
    reply = await serving.ask("TRACE", path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)
