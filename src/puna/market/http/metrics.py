"""`GET /metrics`: the market in numbers, for Prometheus. It needs the operator's key."""

from collections.abc import Iterator

from fastapi import APIRouter, Depends
from starlette.responses import PlainTextResponse, Response

from puna.market.db.directory import Sums, sums
from puna.market.http.auth import ThisMarket, operator, reading
from puna.market.tally import Tally
from puna.node.api.metrics import TEXT_TYPE, head, sample

router = APIRouter(dependencies=[Depends(operator)])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(market: ThisMarket) -> Response:
    """Tell what this process counted, and what the database holds."""
    async with reading(market) as tx:
        found = await sums(tx, market.world.now())
    lines = [*_counted(market.tally), *_found(found)]
    name = "puna_market_waiting_hosts"
    lines += [*head(name, "gauge", "Hosts that wait for orders in this process.")]
    lines.append(sample(name, market.waiting.count))
    return Response("\n".join(lines) + "\n", media_type=TEXT_TYPE)


def _counted(tally: Tally) -> Iterator[str]:
    name = "puna_market_requests_total"
    yield from head(name, "counter", "Requests, by method, route and status.")
    for (method, route, status), count in sorted(tally.requests.items()):
        yield sample(name, count, {"method": method, "route": route, "status": str(status)})
    name = "puna_market_refused_total"
    yield from head(name, "counter", "Requests that the guard refused, by reason.")
    for code, count in sorted(tally.refused.items()):
        yield sample(name, count, {"code": code})
    name = "puna_market_turns_total"
    yield from head(name, "counter", "Turns of loops, by loop and outcome.")
    for (loop, outcome), count in sorted(tally.turns.items()):
        yield sample(name, count, {"loop": loop, "outcome": outcome})
    name = "puna_market_turn_seconds_total"
    yield from head(name, "counter", "Time that turns of loops took.")
    for loop, seconds in sorted(tally.turn_seconds.items()):
        yield sample(name, seconds, {"loop": loop})


def _found(found: Sums) -> Iterator[str]:
    name = "puna_market_pods"
    yield from head(name, "gauge", "Pods that are not closed, by what is wanted and seen.")
    for state, count in sorted(found.pods.items()):
        desired, _, observed = state.partition("/")
        yield sample(name, count, {"desired": desired, "observed": observed})
    name = "puna_market_hosts"
    yield from head(name, "gauge", "Machines, by whether they were seen lately.")
    yield sample(name, found.hosts_fresh, {"state": "fresh"})
    yield sample(name, found.hosts - found.hosts_fresh, {"state": "silent"})
    name = "puna_market_microdollars"
    yield from head(name, "gauge", "What is in all books of a kind.")
    for kind, amount in sorted(found.money.items()):
        yield sample(name, int(amount), {"book": kind})
    name = "puna_market_orphans"
    yield from head(name, "gauge", "Containers with the market's label that belong to nobody.")
    yield sample(name, found.orphans)
