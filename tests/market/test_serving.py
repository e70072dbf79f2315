"""A market on a real socket: agents over HTTP, and errors in the words of each dialect."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.actions.accounts import KeyWish
from puna.market.domain.pods import Status
from tests.market.serving import MarketServing, market_serving


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def test_a_pod_runs_on_a_host_that_joined_over_http(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "3")
    await serving.host()
    pod = await serving.rent(ann)
    await serving.tick()
    assert await serving.status(pod) is Status.RUNNING


async def test_the_market_is_well(serving: MarketServing) -> None:
    reply = await serving.ask("GET", "/health")
    assert (reply.status, reply.json["status"]) == (200, "ok")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v2/nothing", {"title": "Not Found", "status": 404}),
        ("/v1/nothing", {"error": "not found: GET /v1/nothing", "status": 404}),
        ("/agent/v1/nothing", {"code": "no_such_path"}),
    ],
)
async def test_each_dialect_has_its_own_words_for_errors(
    serving: MarketServing, path: str, told: dict[str, object]
) -> None:
    reply = await serving.ask("GET", path)
    assert reply.status == 404
    assert told.items() <= reply.json.items()


async def test_a_join_that_says_nothing_is_told_what_is_missing(serving: MarketServing) -> None:
    reply = await serving.ask("POST", "/agent/v1/join", {"token": "join_x"})
    assert reply.status == 422
    assert "missing property 'machine'" in reply.json["error"]


async def test_a_report_without_a_good_key_is_refused(serving: MarketServing) -> None:
    host = await serving.host()
    host.key = "host_wrong"
    with pytest.raises(AssertionError, match="unknown_host"):
        await serving.report(host)


async def test_keys_are_of_accounts(serving: MarketServing) -> None:
    one = await serving.key("ann@example.org")
    two = await serving.key("bob@example.org", wish=KeyWish(may_write=False))
    assert one != two
    assert serving.admin_key.startswith("rpa_")
