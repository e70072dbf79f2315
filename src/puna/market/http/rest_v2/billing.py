"""`/v2/billing`: what was spent, one record for each resource and stretch of time.

Serverless, public endpoints, network volumes and clusters are not there yet, and so cost nothing:
their records are empty, as RunPod's are for an account that has none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from puna.errors import NotFound
from puna.market.db.accounts import Caller
from puna.market.db.spending import By, Spending, Sum, sums_of
from puna.market.domain.billing import Bucket, InvalidWindow, Window, last, moment, window
from puna.market.http.auth import Renter, ThisMarket, reading
from puna.market.http.money import dollars
from puna.market.market import Market
from puna.wire.runpod_catalog import BillTold

router = APIRouter(prefix="/v2/billing")
_ALL = (
    *("totalAmount", "podGpuAmount", "podCpuAmount", "podDiskAmount", "serverlessGpuAmount"),
    *("serverlessCpuAmount", "serverlessDiskAmount", "serverlessFeeAmount"),
    *("storageStandardAmount", "storageHighPerformanceAmount", "endpointAmount"),
    *("clusterGpuAmount", "clusterDiskAmount", "clusterNetworkingAmount"),
)
_PODS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
_EMPTY = {
    "serverless": ("uniqueServerlessCount", (*_PODS, "feeAmount")),
    "endpoints": ("", ("totalAmount",)),
    "network-volumes": (
        "uniqueNetworkVolumeCount",
        ("totalAmount", "standardAmount", "highPerformanceAmount"),
    ),
    "clusters": (
        "uniqueClusterCount",
        ("totalAmount", "gpuAmount", "diskAmount", "networkingAmount"),
    ),
}


class NothingBilled(NotFound):
    """There is no bill of this name."""

    code = "nothing_billed"


class BillingQuery(BaseModel):
    """Which stretches; what is not known is ignored, as RunPod does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    start_time: str = ""
    end_time: str = ""
    bucket_size: Bucket = Bucket.DAY
    last_n: int | None = Field(default=None, ge=1, le=10_000)
    pod_id: str = ""

    def window(self, now: datetime) -> Window:
        """Return the window of whole stretches. Raises `InvalidWindow`."""
        if self.last_n is None:
            start, end = moment(self.start_time or "-30d", now), moment(self.end_time, now)
            return window(start, end, self.bucket_size)
        if self.start_time or self.end_time:
            raise InvalidWindow("lastN goes with neither startTime nor endTime")
        return last(self.last_n, self.bucket_size, now)


Asked = Annotated[BillingQuery, Query()]
Reply = Mapping[str, object]


@router.get("", response_model=BillTold)
async def whole_bill(market: ThisMarket, caller: Renter, query: Asked) -> Reply:
    """Return one record for each stretch in which anything was spent."""
    when, sums = await _sums(market, caller, query, By.NOTHING)
    records = [_record(each, query, _all_amounts(each)) for each in sums]
    return _reply(records, when, query, names=_ALL)


@router.get("/pods", response_model=BillTold)
async def bill_of_pods(market: ThisMarket, caller: Renter, query: Asked) -> Reply:
    """Return one record for each pod and stretch."""
    when, sums = await _sums(market, caller, query, By.POD)
    records = [_record(each, query, {"podId": each.name, **_amounts(each)}) for each in sums]
    count = {"uniquePodCount": len({each.name for each in sums})}
    return _reply(records, when, query, names=_PODS, count=count)


@router.get("/{what}", response_model=BillTold)
async def bill_of_the_rest(market: ThisMarket, _: Renter, what: str, query: Asked) -> Reply:
    """Return no records of what this market does not have yet."""
    named = {"networkvolumes": "network-volumes"}.get(what, what)  # as its first clients ask
    if named not in _EMPTY:
        raise NothingBilled(f'nothing is billed as "{what}"')
    unique, names = _EMPTY[named]
    when = query.window(market.world.now())
    return _reply([], when, query, names=names, count={unique: 0} if unique else {})


async def _sums(
    market: Market, caller: Caller, query: BillingQuery, by: By
) -> tuple[Window, Sequence[Sum]]:
    when = query.window(market.world.now())
    which = Spending(account=caller.account.id, start=when.start, end=when.end, pod=query.pod_id)
    async with reading(market) as tx:
        return when, await sums_of(tx, which, by, query.bucket_size)


def _record(each: Sum, query: BillingQuery, amounts: Mapping[str, object]) -> dict[str, object]:
    end = query.bucket_size.end_of(each.begin)
    return {"startTime": _time(each.begin), "endTime": _time(end), **amounts}


def _amounts(each: Sum) -> dict[str, float]:
    return {
        "totalAmount": dollars(each.total),
        "gpuAmount": dollars(each.cards),
        "cpuAmount": dollars(each.processors),
        "diskAmount": dollars(each.disk),
    }


def _all_amounts(each: Sum) -> dict[str, float]:
    return dict.fromkeys(_ALL, 0.0) | {
        "totalAmount": dollars(each.total),
        "podGpuAmount": dollars(each.cards),
        "podCpuAmount": dollars(each.processors),
        "podDiskAmount": dollars(each.disk),
    }


def _reply(
    records: Sequence[Mapping[str, object]],
    when: Window,
    query: BillingQuery,
    *,
    names: Sequence[str],
    count: Mapping[str, int] | None = None,
) -> Reply:
    asked: dict[str, object] = {
        "startTime": _time(when.start),
        "endTime": _time(when.end),
        "bucketSize": query.bucket_size,
    }
    if query.pod_id:
        asked["filter"] = {"podId": query.pod_id}
    return {
        "records": records,
        "metadata": {
            "query": asked,
            "recordCount": len(records),
            **(count or {}),
            "totals": {name: _total(records, name) for name in names},
        },
    }


def _total(records: Sequence[Mapping[str, object]], name: str) -> float:
    """Sum floats of whole micro-dollars, exactly."""
    amounts = (record[name] for record in records)
    return sum(round(each * 10**6) for each in amounts if isinstance(each, float)) / 10**6


def _time(moment_: datetime) -> str:
    return f"{moment_:%Y-%m-%dT%H:%M:%SZ}"
