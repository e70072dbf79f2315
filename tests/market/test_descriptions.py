"""The descriptions of both versions, as a generator of clients reads them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from puna.market.http.descriptions import complete
from tests.market.serving import MarketServing, market_serving

FAILURES = {
    "v1": ("application/json", ["error", "message", "status"]),
    "v2": ("application/problem+json", ["title", "status", "detail"]),
}


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, each in described["paths"].items():
        for method, operation in each.items():
            yield f"{method} {path}", operation


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_every_path_tells_how_it_fails(serving: MarketServing, version: str) -> None:
    described = (await serving.ask("GET", f"/{version}/openapi.json")).json
    kind, needed = FAILURES[version]
    for name, operation in operations(described):
        for code in ("400", "401", "403", "404", "429", "503"):
            content = operation["responses"][code]["content"]
            assert content[kind]["schema"]["required"] == needed, (name, code)
    assert described["security"] == [{"bearer": []}]


async def test_version_1_knows_no_422(serving: MarketServing) -> None:
    described = (await serving.ask("GET", "/v1/openapi.json")).json
    assert not [name for name, each in operations(described) if "422" in each["responses"]]


async def test_what_costs_money_may_be_402(serving: MarketServing) -> None:
    paths = (await serving.ask("GET", "/openapi.json")).json["paths"]
    assert "402" in paths["/v2/pods"]["post"]["responses"]
    assert "402" in paths["/v1/pods/{pod}/start"]["post"]["responses"]
    assert "402" not in paths["/v2/templates"]["post"]["responses"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v2/catalog/gpus", "GpusTold"),
        ("/v2/catalog/cpus/{flavour}", "CpuType"),
        ("/v2/catalog/datacenters", "DataCentersTold"),
        ("/v2/billing/pods", "BillTold"),
    ],
)
async def test_what_is_told_has_a_shape(serving: MarketServing, path: str, model: str) -> None:
    told = (await serving.ask("GET", "/v2/openapi.json")).json
    answer = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"]["$ref"].endswith(f"/{model}")
    assert model in told["components"]["schemas"]


async def test_who_needs_no_key_is_told_so(serving: MarketServing) -> None:
    paths = (await serving.ask("GET", "/openapi.json")).json["paths"]
    assert paths["/health"]["get"]["security"] == []
    assert "security" not in paths["/v2/pods"]["get"]
    failure = paths["/graphql"]["post"]["responses"]["401"]["content"]["application/json"]
    assert failure["schema"]["required"] == ["errors"]


def test_what_is_of_no_dialect_fails_in_the_markets_own_words() -> None:
    described = complete({"paths": {"/market/v1/x": {"get": {"responses": {}}}}})
    failure = described["paths"]["/market/v1/x"]["get"]["responses"]["404"]
    assert failure["description"] == "Not Found"
    assert failure["content"]["application/json"]["schema"]["required"] == ["error", "code"]
