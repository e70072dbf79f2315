"""`/v2/catalog`: what can be had, in RunPod's words.

A card's price is the lowest of all machines that are offered now; what each machine asks is told by
`/v2/puna/offers`. Network volumes and compliance tags are not there yet, so nothing has them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from puna.errors import Invalid, NotFound
from puna.market.actions.templates import official_templates, public_templates
from puna.market.db.catalog import Shelf, Shelves, shelves
from puna.market.domain.cards import (
    FLAVOURS,
    MOST_PROCESSORS,
    Flavour,
    Stock,
    maker_of,
    name_of,
    pool_of,
    region_of,
    stock_of,
)
from puna.market.domain.hosts import Cloud
from puna.market.http.auth import Renter, ThisMarket, reading
from puna.market.http.money import dollars
from puna.market.http.rest_v2.changes import template_told
from puna.market.market import Market
from puna.wire.runpod_catalog import (
    CatalogTemplates,
    CpusTold,
    CpuType,
    DataCenter,
    DataCentersTold,
    GpusTold,
    GpuType,
)

router = APIRouter(prefix="/v2/catalog")
_GB = 10**9
_MOST_TEMPLATES = 100
_PRODUCTS = ("POD", "SERVERLESS", "CLUSTER")


class NoSuchThing(NotFound):
    """The catalog has nothing of this id."""

    code = "not_in_catalog"


class InvalidCatalogQuery(Invalid):
    """A question to the catalog that makes no sense."""

    code = "invalid_catalog_query"


class CatalogQuery(BaseModel):
    """What may be asked; what is not known is ignored, as RunPod does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    include: str = ""
    product: str = ""
    count: int = Field(default=1, ge=1, le=64)
    vcpu_count: int = Field(default=2, ge=1, le=4096)
    cloud: Cloud | None = None
    country_codes: str = ""
    cuda_versions: str = ""
    min_cuda_version: str = ""
    regions: str = ""
    network_volume_types: str = ""
    compliance: str = ""
    global_network: bool | None = None

    def includes(self, what: str) -> bool:
        """Tell whether a part was asked for. Raises `InvalidCatalogQuery`."""
        if what not in _words(self.include):
            return False
        if what == "AVAILABILITY" and self.product not in _PRODUCTS:
            raise InvalidCatalogQuery(
                f"include=AVAILABILITY needs product, one of {', '.join(_PRODUCTS)}"
            )
        return True


Asked = Annotated[CatalogQuery, Query()]


@router.get("/gpus", response_model=GpusTold)
async def gpus(market: ThisMarket, _: Renter, query: Asked) -> Mapping[str, object]:
    """Return every card that some machine has."""
    query.includes("AVAILABILITY")
    found = await _shelves(market, query, None)
    groups = groupby(found, key=lambda shelf: shelf.card)
    return {"gpus": [_gpu(card, list(each), query) for card, each in groups]}


@router.get("/gpus/{card:path}", response_model=GpuType)
async def gpu(market: ThisMarket, _: Renter, card: str, query: Asked) -> Mapping[str, object]:
    """Return one card, by its id."""
    found = await _shelves(market, query, card)
    if not card or not found:
        raise NoSuchThing(f'no machine of this market has a card "{card}"')
    return _gpu(card, found, query)


@router.get("/cpus", response_model=CpusTold)
async def cpus(market: ThisMarket, _: Renter, query: Asked) -> Mapping[str, object]:
    """Return the kinds of pods without a card."""
    found = await _processors(market, query)
    return {"cpus": [_cpu(each, found, query) for each in FLAVOURS.values()]}


@router.get("/cpus/{flavour}", response_model=CpuType)
async def cpu(market: ThisMarket, _: Renter, flavour: str, query: Asked) -> Mapping[str, object]:
    """Return one kind."""
    if flavour not in FLAVOURS:
        raise NoSuchThing(f'there is no kind of pods "{flavour}"')
    return _cpu(FLAVOURS[flavour], await _processors(market, query), query)


@router.get("/datacenters", response_model=DataCentersTold)
async def data_centers(market: ThisMarket, _: Renter, query: Asked) -> Mapping[str, object]:
    """Return the places in which machines stand."""
    return {"dataCenters": await _data_centers(market, query)}


@router.get("/datacenters/{place}", response_model=DataCenter)
async def data_center(
    market: ThisMarket, _: Renter, place: str, query: Asked
) -> Mapping[str, object]:
    """Return one place."""
    found = await _data_centers(market, query)
    named = next((each for each in found if each["id"] == place), None)
    if named is None:
        raise NoSuchThing(f'no machine of this market stands in "{place}"')
    return named


@router.get("/templates", response_model=CatalogTemplates)
async def catalog_templates(
    market: ThisMarket, _: Renter, source: str = "official"
) -> Mapping[str, object]:
    """Return templates that everybody may use: the market's own, or those that others show."""
    wanted = _words(source)
    if unknown := [each for each in wanted if each not in {"official", "verified", "community"}]:
        raise InvalidCatalogQuery(f'"{unknown[0]}" is not one of official, verified, community')
    found = list(official_templates()) if "official" in wanted else []
    if "community" in wanted:
        async with reading(market) as tx:
            found += await public_templates(tx, limit=_MOST_TEMPLATES)
    return {"templates": [template_told(each) for each in found[:_MOST_TEMPLATES]]}


async def _processors(market: Market, query: CatalogQuery) -> list[Shelf]:
    """Return the processors of every machine: a pod without a card goes to any."""
    return await _counted(market, query, Shelves(count=query.vcpu_count, of_processors=True))


async def _shelves(market: Market, query: CatalogQuery, card: str | None) -> list[Shelf]:
    return await _counted(market, query, Shelves(card=card, count=query.count))


async def _counted(market: Market, query: CatalogQuery, which: Shelves) -> list[Shelf]:
    countries = _words(query.country_codes.upper())
    which = replace(which, cloud=query.cloud, countries=countries)
    async with reading(market) as tx:
        found = await shelves(tx, which, market.world.now())
    return [each for each in found if _has_cuda(each, query)]


def _has_cuda(shelf: Shelf, query: CatalogQuery) -> bool:
    named = _words(query.cuda_versions)
    oldest = tuple(int(part) for part in query.min_cuda_version.split(".") if part.isdecimal())
    return (not named or _cuda(shelf.cuda) in named) and shelf.cuda >= oldest


def _gpu(card: str, found: Sequence[Shelf], query: CatalogQuery) -> dict[str, object]:
    reply: dict[str, object] = {
        "id": card,
        "name": name_of(card),
        "pool": pool_of(card),
        "manufacturer": maker_of(card),
        "memory": round(max(each.memory for each in found) / _GB),
        "secure": _lowest(found, Cloud.SECURE) > 0,
        "community": _lowest(found, Cloud.COMMUNITY) > 0,
        "price": {
            "secure": _lowest(found, Cloud.SECURE),
            "community": _lowest(found, Cloud.COMMUNITY),
        },
        "maxCount": {
            "secure": _most(found, Cloud.SECURE),
            "community": _most(found, Cloud.COMMUNITY),
        },
    }
    if query.includes("AVAILABILITY"):
        reply |= {
            "availability": _stock(found, query),
            "dataCenters": _places(found, query),
            "cudaVersions": [
                {"version": version, "available": any(each.fits for each in of_it)}
                for version, of_it in _by(found, lambda shelf: _cuda(shelf.cuda))
                if version
            ],
        }
    return reply


def _cpu(flavour: Flavour, found: Sequence[Shelf], query: CatalogQuery) -> dict[str, object]:
    reply: dict[str, object] = {
        "id": flavour.id,
        "name": flavour.name,
        "group": flavour.id[:4],
        "vcpu": {"min": 2, "max": max((each.most for each in found), default=MOST_PROCESSORS)},
        "ramGbPerVcpu": flavour.gb_per_processor,
        "price": {"securePerVcpu": _lowest(found, None), "serverlessPerVcpu": 0.0},
    }
    if query.includes("AVAILABILITY"):
        reply |= {"availability": _stock(found, query), "dataCenters": _places(found, query)}
    return reply


async def _data_centers(market: Market, query: CatalogQuery) -> list[dict[str, object]]:
    if query.network_volume_types or query.compliance or query.global_network:
        return []
    cards = dict(_by(await _shelves(market, query, None), lambda shelf: shelf.data_center))
    regions, found = _words(query.regions), []
    for place, here in _by(await _processors(market, query), lambda shelf: shelf.data_center):
        region = str(region_of(here[0].country))
        if not place or (regions and region not in regions):
            continue
        reply: dict[str, object] = {
            "id": place,
            "name": place,
            "region": region,
            "globalNetwork": False,
            "networkVolumeTypes": [],
            "compliance": [],
        }
        if query.includes("GPU_AVAILABILITY"):
            reply["gpuAvailability"] = [
                {"id": card, "name": name_of(card), "availability": _stock(of_it, query)}
                for card, of_it in _by(cards.get(place, []), lambda shelf: shelf.card)
            ]
        if query.includes("CPU_AVAILABILITY"):
            word = _stock(here, query)
            reply["cpuAvailability"] = [
                {"id": each.id, "name": each.name, "availability": word}
                for each in FLAVOURS.values()
            ]
        found.append(reply)
    return found


def _places(found: Sequence[Shelf], query: CatalogQuery) -> list[dict[str, str]]:
    return [
        {"id": place, "name": place, "availability": _stock(here, query)}
        for place, here in _by(found, lambda shelf: shelf.data_center)
        if place
    ]


def _by(found: Iterable[Shelf], key: Callable[[Shelf], str]) -> list[tuple[str, list[Shelf]]]:
    ordered = sorted(found, key=key)
    return [(name, list(each)) for name, each in groupby(ordered, key=key)]


def _stock(found: Sequence[Shelf], query: CatalogQuery) -> Stock:
    """Return how many machines have so many free; serverless and clusters have nothing yet."""
    if query.product in {"SERVERLESS", "CLUSTER"}:
        return Stock.NONE
    return stock_of(sum(each.fits for each in found))


def _lowest(found: Sequence[Shelf], cloud: Cloud | None) -> float:
    """Return the lowest price; zero beside `"secure": false`, since typed clients want a number."""
    prices = [
        each.price for each in found if each.price is not None and cloud in (None, each.cloud)
    ]
    return dollars(min(prices)) if prices else 0.0


def _most(found: Sequence[Shelf], cloud: Cloud) -> int:
    return max((each.most for each in found if each.cloud is cloud), default=0)


def _cuda(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}" if version[0] else ""


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
