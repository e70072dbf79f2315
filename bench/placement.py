"""What one decision of placement costs as a market grows: `python bench/placement.py`.

A market in a SQLite file: hosts of twenty models of cards (or one), ten pods on each. For each size
it prints the median time of: a look at every offer in memory (`place`, with every reason), one
rental (all that its transaction does), and one turn of the loop that seats twenty pods that wait.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert

from puna.market.actions.accounts import grant_credit, identify, make_key, open_account
from puna.market.actions.renting import NoCapacity, Wish, rent_pod
from puna.market.db.database import Database, sqlite_address
from puna.market.db.hosts import hosts_for
from puna.market.db.tables import hosts, pods
from puna.market.db.values import to_json
from puna.market.domain.hosts import Machine, Terms
from puna.market.domain.placement import place
from puna.market.domain.specs import PodSpec
from puna.market.loops.place_pods import place_pods
from puna.units import Money, Size
from puna.world import RealWorld

GB = 10**9
MODELS = 20
PODS = 10
SIZES = ((100, 1_000), (1_000, 10_000), (10_000, 100_000))
TIMES = 15
WAITING = 20


def spec_of(model: int, **changes: object) -> PodSpec:
    return PodSpec(image="img", cards=1, card_models=(f"card {model}",), **changes)  # type: ignore[arg-type]


async def fill(database: Database, world: RealWorld, count: int, models: int) -> str:
    """Add hosts with eleven cards, ten of them taken."""
    now = world.now()
    async with database.transaction() as tx:
        owner = await open_account(tx, world, "owner@example.org")
        rows, tenants = [], []
        for number in range(count):
            model = number % models
            machine = Machine(
                card=f"card {model}",
                cards=PODS + 1,
                card_memory=Size(24 * GB),
                processors=64,
                memory=Size(512 * GB),
                disk=Size(4000 * GB),
                country="PL",
            )
            terms = Terms(price=Money(200_000 + 7919 * number % 300_000), least_bid=Money(100_000))
            name = f"h{number:07}"
            rows.append(
                {
                    "id": name,
                    "account": owner.id,
                    "name": name,
                    "key_digest": name,
                    "cloud": "COMMUNITY",
                    "card": machine.card,
                    "machine": to_json(machine),
                    "terms": to_json(terms),
                    "joined": now,
                    "seen": now + timedelta(hours=1),
                    "sequence": 0,
                    "is_draining": False,
                    "turn": 0,
                    "shown": [],
                    "uses": {},
                    "price": int(terms.price),
                    "least_bid": 100_000,
                }
            )
            tenants += [
                pod_row(owner.id, f"{number:07}p{each}", name, model, now) for each in range(PODS)
            ]
        await tx.execute(insert(hosts), rows)
        await tx.execute(insert(pods), tenants)
    return owner.id


def pod_row(account: str, pod: str, host: str | None, model: int, now: object) -> dict[str, object]:
    return {
        "id": pod,
        "account": account,
        "key": "",
        "project": "",
        "name": pod,
        "spec": to_json(spec_of(model)),
        "tenure": "on-demand",
        "price": 200_000,
        "host": host,
        "desired": "run",
        "run": 1,
        "observed": "running" if host else "absent",
        "shown_run": 1 if host else 0,
        "is_locked": False,
        "reason": "",
        "ports": {},
        "failed_hosts": [],
        "created": now,
        "paid_run": 1,
        "changed": now,
        "boot": "",
        "boot_run": 0,
        "spent": 0,
    }


async def measure(count: int, models: int) -> dict[str, float]:
    """Return milliseconds for one market."""
    world = RealWorld()
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(sqlite_address(Path(folder) / "market.db"))
        owner = await fill(database, world, count, models)
        async with database.transaction() as tx:
            made = await make_key(tx, world, owner)
            await grant_credit(tx, world, owner, Money.parse("100000"), key="x")
            caller = await identify(tx, world, made.secret)
        async with database.reading() as tx:
            offers = await hosts_for(tx, ("card 0",))
        whole = [timed(lambda: place(spec_of(0).demand(), offers, world.now())) for _ in range(5)]
        rentals = [
            await one_rental(database, world, caller, each % models) for each in range(TIMES)
        ]
        now = world.now()
        async with database.transaction() as tx:
            rows = [pod_row(owner, f"w{each:06}", None, 0, now) for each in range(WAITING)]
            await tx.execute(insert(pods), rows)
        began = time.perf_counter()
        seated = await place_pods(database, world)
        turn = 1000 * (time.perf_counter() - began)
        if not seated:
            raise SystemExit("no pod that waits was seated")
        await database.close()
    return {
        "every offer": statistics.median(whole),
        "rental": statistics.median(rentals),
        "turn of 20": turn,
    }


def timed(act: object) -> float:
    began = time.perf_counter()
    act()  # type: ignore[operator]
    return 1000 * (time.perf_counter() - began)


async def one_rental(database: Database, world: RealWorld, caller: object, model: int) -> float:
    async with database.transaction() as tx:
        began = time.perf_counter()
        try:
            wish = Wish(name="p", spec=spec_of(model))
            await rent_pod(tx, world, caller, wish)  # type: ignore[arg-type]
        except NoCapacity as error:
            raise SystemExit(f"nothing is free: {error}") from error
        return 1000 * (time.perf_counter() - began)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--most", type=int, default=SIZES[-1][0], help="hosts of the largest market"
    )
    most = parser.parse_args().most
    print("| hosts | pods | models | every offer, ms | rental, ms | turn of 20, ms |")
    print("|---|---|---|---|---|---|")
    for count, on_them in SIZES:
        for models in (MODELS, 1):
            if count <= most:
                told = await measure(count, models)
                words = " | ".join(f"{each:.1f}" for each in told.values())
                print(f"| {count} | {on_them} | {models} | {words} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
