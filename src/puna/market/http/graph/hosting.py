"""What an account lends: its machines as RunPod's hosts saw theirs."""

from collections.abc import Mapping, Sequence

from puna.market.db.hosts import Lent, hosts_of
from puna.market.domain.cards import name_of
from puna.market.domain.hosts import Cloud, Host
from puna.market.http.graph.asked import Asked, Field, Shape, Words
from puna.market.http.graph.catalog import dollars, gigabytes, place_of
from puna.market.http.pages import every

_GB = 10**9


def machine_shape(lent: Lent, *, is_seen: bool) -> Shape:
    """Return a `Machine`. Its prices are those that its owner asks; what pods pay is on bills."""
    host, machine, terms = lent.host, lent.host.machine, lent.host.terms
    free = host.free
    return {
        "id": host.id,
        "name": lent.name,
        "location": machine.country,
        "countryCode": machine.country,
        "dataCenterId": place_of(machine.data_center, machine.country),
        "listed": is_seen and not (terms.is_paused or host.is_draining),
        "registered": True,
        "verified": host.cloud is Cloud.SECURE,
        "secureCloud": host.cloud is Cloud.SECURE,
        "maintenanceMode": host.is_draining,
        "gpuTypeId": machine.card,
        "gpuType": _card(host),
        "gpuTotal": machine.cards,
        "gpuReserved": machine.cards - free.cards,
        "cpuCount": machine.processors,
        "cpuTypeId": "",
        "vcpuTotal": machine.processors,
        "vcpuReserved": machine.processors - free.processors,
        "memoryTotal": machine.memory // _GB,
        "memoryReserved": (machine.memory - free.memory) // _GB,
        "diskTotal": machine.disk // _GB,
        "diskReserved": (machine.disk - free.disk) // _GB,
        "downloadMbps": machine.down_mbps,
        "uploadMbps": machine.up_mbps,
        "diskMBps": machine.disk_mbps,
        "hostPricePerGpu": dollars(terms.price),
        "hostMinBidPerGpu": dollars(terms.least_bid),
        "runpodIp": "",
        "publicIp": "",
        "supportPublicIp": machine.has_public_ip,
        "cudaVersion": ".".join(map(str, machine.cuda)) if any(machine.cuda) else "",
        "pods": [tenant.pod for tenant in host.tenants],
        "createdAt": lent.joined,
        "lastSeen": host.seen,
    }


def _card(host: Host) -> Shape:
    """Return a `GpuType` without prices; a machine without a card has an empty one."""
    card = host.machine.card
    return {
        "id": card,
        "displayName": name_of(card),
        "memoryInGb": gigabytes(host.machine.card_memory),
    }


async def _machines(asked: Asked, _words: Words) -> Sequence[Shape]:
    async with asked.reading() as tx:
        found = await every(
            lambda after, limit: hosts_of(tx, asked.account, after=after, limit=limit)
        )
    now = asked.market.world.now()
    return [machine_shape(each, is_seen=each.host.is_fresh(now)) for each in found]


async def _machine(asked: Asked, words: Words) -> Shape | None:
    wanted = words.get("machineId") or words.get("id")
    return next((each for each in await _machines(asked, {}) if each["id"] == wanted), None)


async def _machines_of_user(_user: object, asked: Asked, words: Words) -> Sequence[Shape]:
    return await _machines(asked, words)


FIELDS: Mapping[str, Field] = {
    "Query.machines": _machines,
    "Query.machine": _machine,
    "User.machines": _machines_of_user,
}
