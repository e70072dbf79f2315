"""A market with a history that is always the same, and everything that a renter can ask it."""

import asyncio
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

from puna.market.actions.accounts import identify
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action
from puna.units import Money
from tests.market.serving import MarketServing, market_serving

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of a random name in it
PATHS = (
    "/v2/catalog/gpus",
    "/v2/catalog/gpus?include=AVAILABILITY&product=POD",
    "/v2/catalog/cpus?include=AVAILABILITY&product=POD",
    "/v2/catalog/datacenters?include=GPU_AVAILABILITY,CPU_AVAILABILITY",
    "/v2/billing?startTime=2026-08-01&endTime=2026-08-02",
    "/v2/billing/pods?startTime=2026-08-01&endTime=2026-08-02&bucketSize=hour",
    "/v2/billing/serverless?startTime=2026-08-01&endTime=2026-08-02",
    "/v2/billing/network-volumes?lastN=1",
    "/v1/billing/pods?startTime=2026-08-01&endTime=2026-08-02",
    "/v1/billing/pods?startTime=-1d&bucketSize=hour&grouping=podId",
    "/v2/puna/account",
    "/v2/puna/offers?count=1&countries=PL",
    "/v2/puna/offers?count=0&processors=4",
    "/v2/puna/bill",
    "/v2/puna/spend?start=2026-07-31&end=2026-08-02",
    "/v2/puna/spend?by=pod",
    "/v2/puna/spend?by=project",
    "/v2/puna/spend?by=card",
    "/v2/puna/projects",
    "/v2/puna/budgets",
    "/v2/puna/keys",
)


async def answers() -> dict[str, Any]:
    """Return what the market answers to each path."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            key, names = await history(market)
            replies = [await market.ask("GET", path, key=key) for path in PATHS]
            assert {reply.status for reply in replies} == {200}
            return {
                path: _settled(reply.json, names)
                for path, reply in zip(PATHS, replies, strict=True)
            }


def _settled(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """Return an answer with names in place of chance, and lists in the order of these."""
    if isinstance(value, dict):
        return {name: _settled(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return sorted((_settled(each, names) for each in value), key=str)
    if isinstance(value, str):
        for chance, name in names.items():
            value = re.sub(chance, name, value)
    return value


async def history(market: MarketServing) -> tuple[str, Mapping[str, str]]:
    """Let Ann rent two pods of three hosts, one of them on spot, and end one.

    Return her key, and names for what chance has named.
    """
    key = await market.key("ann@example.org", "25")
    async with market.database.transaction() as tx:
        ann = await identify(tx, market.world, key)
    pl = await market.host("pl", country="PL", cuda="12.8", down_mbps=900, up_mbps=300)
    de = await market.host("de", country="DE", price=250_000, least_bid=None)
    cpu = await market.host("cpu", country="PL", card="", cards=0, card_memory=0, price=20_000)
    first = await market.rent(ann, volume_gb=10, countries=("PL",))
    second = await market.rent(ann, tenure=Tenure.SPOT, bid=Money(150_000), countries=("PL",))
    await market.tick(times=3)
    await market.act(ann, first, Action.TERMINATE)
    await market.tick(times=2)
    for body in (
        {"scope": "account", "period": "day", "limit": "10"},
        {"scope": "project", "owner": "web", "period": "ever", "limit": "2.50"},
    ):
        await market.ask("PUT", "/v2/puna/budgets", body, key=key)
    wish = {"name": "look", "readOnly": True, "expiresAfter": "30d"}
    await market.ask("POST", "/v2/puna/keys", wish, key=key)
    return key, {
        first.id: "first-pod",
        second.id: "second-pod",
        pl.id: "host-pl",
        de.id: "host-de",
        cpu.id: "host-cpu",
        ann.account.id: "user-ann",
        ann.key.id: "key-1",
        r"^[0-9a-f]{16}$": "key-2",
        r"^bud_[0-9a-f]{16}$": "bud",
        r"^rpa_[0-9a-f]{4}$": "rpa_....",
    }


def write(file: Path) -> None:
    """Write what the market answers now, for somebody to read through."""
    text = pformat(asyncio.run(answers()), width=88, sort_dicts=False)
    file.write_text(f'"""Written by tests/market/answering.py."""\n\nANSWERS = {text}\n')


if __name__ == "__main__":
    write(Path(__file__).with_name("answers.py"))
