"""`/v1/billing/pods`: what was spent, one record for each pod (or card) and stretch of time."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from puna.market.db.spending import By, Spending, Sum, sums_of
from puna.market.domain.billing import Bucket, Window, moment, window
from puna.market.http.auth import Renter, ThisMarket, reading
from puna.market.http.money import dollars
from puna.wire.runpod_v1 import BillingV1

router = APIRouter(prefix="/v1/billing", tags=["v1 billing"])
_MS = timedelta(milliseconds=1)
_GROUPS = {"podId": By.POD, "gpuTypeId": By.CARD}


class BillingQuery(BaseModel):
    """Which stretches of what."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    start_time: str = Field(default="-30d", max_length=64)
    end_time: str = Field(default="now", max_length=64)
    bucket_size: Bucket = Bucket.DAY
    grouping: Literal["podId", "gpuTypeId"] = "gpuTypeId"
    pod_id: str = Field(default="", max_length=128)
    gpu_type_id: str = Field(default="", max_length=256)

    def window(self, now: datetime) -> Window:
        """Return the window of whole stretches. Raises `InvalidWindow`."""
        return window(moment(self.start_time, now), moment(self.end_time, now), self.bucket_size)


@router.get("/pods")
async def bill_of_pods(
    market: ThisMarket, caller: Renter, query: Annotated[BillingQuery, Query()]
) -> list[BillingV1]:
    """Return one record for each pod, or each card, and stretch."""
    when = query.window(market.world.now())
    which = Spending(
        account=caller.account.id,
        start=when.start,
        end=when.end,
        pod=query.pod_id,
        card=query.gpu_type_id,
    )
    async with reading(market) as tx:
        sums = await sums_of(tx, which, _GROUPS[query.grouping], query.bucket_size)
    return [record(each, query.grouping) for each in sums]


def record(each: Sum, grouping: str) -> BillingV1:
    """Return a sum in the words of version 1."""
    return BillingV1(
        time=each.begin,
        amount=dollars(each.total),
        time_billed_ms=each.span // _MS,
        disk_space_billed_gb=each.disk_gb,
        pod_id=each.name if grouping == "podId" else None,
        gpu_type_id=each.name if grouping == "gpuTypeId" else None,
    )
