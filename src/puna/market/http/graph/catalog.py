"""What can be rented: cards, processors, places, and what each costs now."""

from collections.abc import Iterable, Mapping, Sequence

from puna.market.db.catalog import Shelf, Shelves, shelves
from puna.market.db.hosts import hosts_for
from puna.market.domain.cards import (
    FLAVOURS,
    MOST_PROCESSORS,
    Flavour,
    data_center_of,
    maker_of,
    name_of,
    pool_of,
    region_of,
    stock_of,
)
from puna.market.domain.hosts import Cloud, Host
from puna.market.domain.placement import Demand
from puna.market.domain.specs import PodSpec
from puna.market.http.graph.asked import Asked, Field, Shape, Words
from puna.market.http.graph.prices import Lowest, lowest
from puna.market.http.graph.wishes import demand_of, instance_of
from puna.market.http.money import dollars as to_dollars
from puna.units import Money, Span

_GB, _GIB = 10**9, 2**30


def dollars(amount: Money | None) -> float | None:
    """Return money as RunPod writes it, null where there is no price."""
    return None if amount is None else to_dollars(amount)


def gigabytes(memory: int) -> int:
    """Return a card's memory as its maker calls it: 24 of 24 GiB as of 24 GB."""
    return memory // _GB if memory % _GB == 0 else round(memory / _GIB)


async def _gpu_types(asked: Asked, words: Words) -> Sequence[Shape]:
    if words.get("cluster"):  # of which there are none
        return []
    wanted = {each for each in (words.get("id"), *(words.get("ids") or ())) if each}
    by_card: dict[str, list[Shelf]] = {}
    for shelf in await _shelves(asked, Shelves()):
        if not wanted or shelf.card in wanted:
            by_card.setdefault(shelf.card, []).append(shelf)
    return [card_shape(card, by_card[card]) for card in sorted(by_card)]


def card_shape(card: str, found: Sequence[Shelf]) -> dict[str, object]:
    """Return a `GpuType` from all shelves with this card."""
    secure = [shelf for shelf in found if shelf.cloud is Cloud.SECURE]
    community = [shelf for shelf in found if shelf.cloud is Cloud.COMMUNITY]
    return {
        "id": card,
        "displayName": name_of(card),
        "manufacturer": {"NVIDIA": "Nvidia", "AMD": "AMD"}.get(maker_of(card), "Unknown"),
        "memoryInGb": gigabytes(max((shelf.memory for shelf in found), default=0)),
        "maxGpuCount": _most(found),
        "maxGpuCountSecureCloud": _most(secure),
        "maxGpuCountCommunityCloud": _most(community),
        "minPodGpuCount": 1,
        "nodeGroupDatacenters": [],
        "secureCloud": bool(secure),
        "communityCloud": bool(community),
        "securePrice": dollars(_least(shelf.price for shelf in secure)),
        "communityPrice": dollars(_least(shelf.price for shelf in community)),
        "secureSpotPrice": dollars(_least(shelf.least_bid for shelf in secure)),
        "communitySpotPrice": dollars(_least(shelf.least_bid for shelf in community)),
    }


async def _lowest_price(card: Shape, asked: Asked, words: Words) -> Shape:
    name = str(card["id"])
    hosts = await _hosts(asked, (name,))
    return price_shape(name, lowest(demand_of(words, name), hosts, asked.market.world.now()))


def price_shape(card: str, found: Lowest) -> Shape:
    """Return a `LowestPrice`; where nothing is offered, the prices are null."""
    shape: dict[str, object] = {
        "gpuName": name_of(card),
        "compliance": [],
        "gpuTypeId": card,
        "uninterruptablePrice": dollars(found.on_demand),
        "minimumBidPrice": dollars(found.bid),
        "stockStatus": found.stock,
        "availableGpuCounts": list(found.counts),
        "maxUnreservedGpuCount": found.most_free,
        "totalCount": found.total,
        "rentedCount": found.total - found.free,
        "gpuTypeCudaVersions": [
            {"cudaVersion": version, "availability": stock_of(hosts).title()}
            for version, hosts in found.versions
        ],
        "rentalPercentage": (found.total - found.free) / found.total if found.total else None,
    }
    if found.best is None:
        return shape
    machine, free = found.best.machine, found.best.free
    return shape | {
        "minMemory": free.memory // _GB,
        "minVcpu": free.processors,
        "minDisk": free.disk // _GB,
        "minDownload": machine.down_mbps,
        "minUpload": machine.up_mbps,
        "countryCode": machine.country,
        "dataCenterId": place_of(machine.data_center, machine.country),
        "supportPublicIp": machine.has_public_ip,
    }


async def _data_centers(asked: Asked, _words: Words) -> Sequence[Shape]:
    by_place: dict[str, Shelf] = {}
    for card in (None, ""):
        for shelf in await _shelves(asked, Shelves(card=card)):
            by_place.setdefault(place_of(shelf.data_center, shelf.country), shelf)
    return [
        {
            "id": place,
            "name": place,
            "location": region_of(by_place[place].country).replace("_", " ").title(),
            "region": str(region_of(by_place[place].country)),
            "listed": True,
            "storageSupport": False,
            "globalNetwork": False,
            "compliance": [],
        }
        for place in sorted(by_place)
        if place
    ]


async def _gpu_availability(center: Shape, asked: Asked, words: Words) -> Sequence[Shape]:
    secure = words.get("secureCloud")
    cloud = None if secure is None else Cloud.SECURE if secure else Cloud.COMMUNITY
    found = await _shelves(asked, Shelves(count=words.get("gpuCount") or 1, cloud=cloud))
    here: dict[str, int] = {}
    for shelf in found:
        if place_of(shelf.data_center, shelf.country) == center["id"]:
            here[shelf.card] = here.get(shelf.card, 0) + shelf.fits
    return [
        {
            "id": card,
            "gpuTypeId": card,
            "displayName": name_of(card),
            "gpuTypeDisplayName": name_of(card),
            "available": here[card] > 0,
            "stockStatus": stock_of(here[card]).title(),
        }
        for card in sorted(here)
    ]


async def _pools(asked: Asked, _words: Words) -> Sequence[Shape]:
    """Return RunPod's pools of the cards that are here; runpodctl looks a card up in them."""
    cards = {shelf.card for shelf in await _shelves(asked, Shelves())}
    pools = {pool for card in cards if (pool := pool_of(card))}
    return [
        {"id": pool, "gpuTypeIds": sorted(card for card in cards if pool_of(card) == pool)}
        for pool in sorted(pools)
    ]


async def _country_codes(asked: Asked, _words: Words) -> Sequence[str]:
    found = [*await _shelves(asked, Shelves()), *await _shelves(asked, Shelves(card=""))]
    return sorted({shelf.country for shelf in found if shelf.country})


def _cpu_types(_asked: Asked, _words: Words) -> Sequence[Shape]:
    return [{"id": each.id, "displayName": each.name, "groupId": each.id} for each in _FLAVOURS]


def _cpu_flavors(_asked: Asked, words: Words) -> Sequence[Shape]:
    wanted = {each for each in (words.get("id"), *(words.get("ids") or ())) if each}
    return [_flavour_shape(each) for each in _FLAVOURS if not wanted or each.id in wanted]


def _flavour_shape(flavour: Flavour) -> Shape:
    return {
        "id": flavour.id,
        "groupId": flavour.id,
        "groupName": flavour.name,
        "displayName": flavour.name,
        "minVcpu": 2,
        "maxVcpu": MOST_PROCESSORS,
        "vcpuBurstable": False,
        "ramMultiplier": flavour.gb_per_processor,
        "diskLimitPerVcpu": 15 if flavour.id.startswith("cpu5") else 10,  # as RunPod has it
    }


async def _specifics(flavour: Shape, asked: Asked, words: Words) -> Shape:
    """Return what an instance costs for an hour on the cheapest host that takes it."""
    instance = words.get("instanceId") or f"{flavour['id']}-2-{2 * _ratio(flavour)}"
    processors, memory = instance_of(instance)
    spec = PodSpec(image="any", processors=processors, memory_gb=memory, disk_gb=1)
    hosts = await _hosts(asked, ())
    center = words.get("dataCenterId")
    here = [host for host in hosts if not center or _stands_in(host, center)]
    by_cloud = {cloud: _cpu_price(spec.demand(), here, cloud, asked) for cloud in Cloud}
    places = sum(found.places for found in by_cloud.values())
    return {
        "stockStatus": stock_of(places).title(),
        "securePrice": _times(by_cloud[Cloud.SECURE].on_demand, processors),
        "communityPrice": _times(by_cloud[Cloud.COMMUNITY].on_demand, processors),
    }


def _cpu_price(demand: Demand, hosts: Iterable[Host], cloud: Cloud, asked: Asked) -> Lowest:
    return lowest(demand, [host for host in hosts if host.cloud is cloud], asked.market.world.now())


def _times(price: Money | None, processors: int) -> float | None:
    return None if price is None else dollars(Money(price * processors))


def _ratio(flavour: Shape) -> int:
    return FLAVOURS[str(flavour["id"])].gb_per_processor


def _stands_in(host: Host, center: str) -> bool:
    return place_of(host.machine.data_center, host.machine.country) == center


def place_of(data_center: str, country: str) -> str:
    """Return the id of the place where a machine stands."""
    return data_center or data_center_of(country)


async def _shelves(asked: Asked, which: Shelves) -> Sequence[Shelf]:
    async def look() -> Sequence[Shelf]:
        async with asked.reading() as tx:
            return await shelves(tx, which, asked.market.world.now())

    return await asked.once(which, look)


async def _hosts(asked: Asked, cards: tuple[str, ...]) -> Sequence[Host]:
    """Return the hosts with these cards, or all, to be looked at once each.

    They are looked up once for a request, and others are let through before they are looked at.
    Raises `QueryTooLarge` for a request that looks at too many.
    """

    async def look() -> Sequence[Host]:
        async with asked.reading() as tx:
            return await hosts_for(tx, cards)

    found = await asked.once(("hosts", cards), look)
    asked.count(len(found))
    await asked.market.world.wait(Span(0))
    return found


def _least(amounts: Iterable[Money | None]) -> Money | None:
    return min((each for each in amounts if each is not None), default=None)


def _most(found: Sequence[Shelf]) -> int:
    return max((shelf.most for shelf in found), default=0)


_FLAVOURS = tuple(FLAVOURS.values())

FIELDS: Mapping[str, Field] = {
    "Query.gpuTypes": _gpu_types,
    "GpuType.lowestPrice": _lowest_price,
    "Query.dataCenters": _data_centers,
    "DataCenter.gpuAvailability": _gpu_availability,
    "Query.serverlessGpuPools": _pools,
    "Query.countryCodes": _country_codes,
    "Query.cpuTypes": _cpu_types,
    "Query.cpuFlavors": _cpu_flavors,
    "CpuFlavor.specifics": _specifics,
}
