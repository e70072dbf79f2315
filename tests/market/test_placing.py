"""A turn of placement reads the offers of a card once, and is never misled by what it remembers."""

import random
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st
from sqlalchemy import event

from puna.market.actions import renting
from puna.market.actions.renting import find_place, find_seats, take_seat
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Host, Tenure
from puna.market.domain.placement import Demand, asks, best_seat, cheapest_seat, place
from puna.market.domain.pods import Status
from puna.market.domain.specs import PodSpec
from puna.market.loops.place_pods import Offers, place_pods
from puna.market.market import tariff_of
from puna.market.settings import load_market_settings
from puna.units import Money, Span
from tests.market.lots import CARD, NOON, a_bid, a_demand, a_host, a_tenant, some_terms
from tests.market.stage import SPEC, Stage

hosts = st.builds(
    lambda name, price, bids, is_old: a_host(
        f"h{name}",
        terms=some_terms(f"0.{price}"),
        tenants=tuple(a_tenant(f"p{name}-{each}", bid=bid) for each, bid in enumerate(bids)),
        seen=NOON - timedelta(minutes=2 * is_old),
    ),
    st.integers(0, 10**6),
    st.integers(20, 60),
    st.lists(st.sampled_from([None, "0.10", "0.20"]), max_size=2),
    st.integers(0, 1),
)
demands = st.sampled_from(
    [a_demand(), a_demand(2), a_bid("0.15"), a_bid("0.30", 2), a_demand(ceiling=Money(300_000))]
)


@settings(max_examples=60)
@given(st.lists(hosts, max_size=6, unique_by=lambda host: host.id), demands)
def test_the_short_way_to_a_seat_leads_to_the_same(found: list[Host], demand: Demand) -> None:
    whole = place(demand, found, NOON).seat
    assert best_seat(demand, found, NOON) == whole
    cheapest_first = sorted(found, key=lambda host: asks(host, demand.tenure))
    assert cheapest_seat(demand, cheapest_first, NOON) == whole


async def waiting_pods(market: Stage, count: int) -> list[Pod]:
    """Pods whose host went away for good, and that wait for another."""
    ann = await market.account("ann@example.org", "90")
    first = await market.host("first", cards=count, processors=99, memory=10**12)
    pods = [await market.rent(ann) for _ in range(count)]
    await market.tick(times=2)
    market.hosts.remove(first)
    await market.tick(times=7)
    assert all([(await market.look(pod)).host is None for pod in pods])
    return pods


async def statements_of_a_turn(market: Stage) -> list[str]:
    said: list[str] = []
    engine = market.database._engine.sync_engine

    def hear(*told: object) -> None:
        said.append(str(told[2]))

    event.listen(engine, "before_cursor_execute", hear)
    await place_pods(market.database, market.world)
    event.remove(engine, "before_cursor_execute", hear)
    return said


async def test_offers_are_read_once_however_many_wait(market: Stage) -> None:
    pods = await waiting_pods(market, 6)
    await market.host("second")
    said = await statements_of_a_turn(market)
    whole = [each for each in said if "FROM hosts" in each and "card IN" in each]
    assert len(whole) == 2  # hosts, and who is on them
    seated = [pod for pod in pods if (await market.look(pod)).host]
    assert len(seated) == 2


async def test_what_others_took_meanwhile_is_seen_before_it_is_taken_again(market: Stage) -> None:
    offers = Offers()
    ann = await market.account("ann@example.org", "9")
    await market.host(cards=1)
    async with market.database.transaction() as tx:
        (known,) = await offers.of(tx, (CARD,))
    await market.rent(ann)
    async with market.database.transaction() as tx:
        seat = best_seat(a_demand(), [known], market.world.now())
        assert seat is not None
        assert not await take_seat(tx, market.world, "nobody", seat)
        await offers.read_again(tx, known.id)
        (again,) = await offers.of(tx, (CARD,))
        assert (again.turn, again.free.cards) == (known.turn + 1, 0)


async def test_a_pod_that_waits_is_seated_as_soon_as_a_host_comes(market: Stage) -> None:
    (pod,) = await waiting_pods(market, 1)
    assert await market.status(pod) is Status.PROVISIONING
    await market.host("second")
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING


@pytest.mark.parametrize(("tick", "gone"), [("60s", 300), ("5s", 300), ("10m", 1830)])
def test_a_host_is_given_up_only_after_what_was_paid_ahead(tick: str, gone: int) -> None:
    """Its agent has stopped by itself what ran there, so that nothing runs twice."""
    tariff = tariff_of(load_market_settings({"PUNA_MARKET_TICK": tick, "PUNA_HOME": "/nowhere"}))
    assert tariff.rules.gone_after == timedelta(seconds=gone)
    assert tariff.rules.gone_after > 2 * tariff.tick.timedelta
    assert tariff.overrun >= Span.of(seconds=60)


def test_a_market_keeps_volumes_and_gives_grace_as_it_is_set() -> None:
    given_settings = {
        "PUNA_HOME": "/nowhere",
        "PUNA_MARKET_KEEP": "720h",
        "PUNA_MARKET_GRACE": "5m",
        "PUNA_MARKET_FEE_SHARE": "2.5%",
    }
    tariff = tariff_of(load_market_settings(given_settings))
    assert (tariff.rules.keep, tariff.rules.grace) == (timedelta(days=30), timedelta(minutes=5))
    assert tariff.rules.forget_after >= tariff.rules.keep
    assert tariff.fee_share == 250


def any_demand(dice: random.Random) -> dict[str, object]:
    """A wish of any kind."""
    wish: dict[str, object] = {"cards": dice.choice([0, 1, 2]), "card_models": ()}
    if wish["cards"]:
        wish["card_models"] = tuple(dice.sample([CARD, "NVIDIA L4"], dice.choice([1, 2])))
        wish["in_order"] = dice.random() < 0.5
    if dice.random() < 0.5:
        wish |= {"tenure": Tenure.SPOT, "bid": Money(dice.randrange(90_000, 400_000))}
    elif dice.random() < 0.3:
        wish["ceiling"] = Money(dice.randrange(150_000, 400_000))
    return wish


@pytest.mark.parametrize("seed", range(6))
async def test_looking_from_the_cheapest_on_finds_what_looking_at_all_finds(
    market: Stage, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renting, "_FIRST_PAGE", 2)
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    ann = await market.account("ann@example.org", "900")
    for number in range(7):
        price = dice.choice([200_000, 200_000, 300_000])
        card = dice.choice([CARD, CARD, "NVIDIA L4"])
        await market.host(f"h{number}", price=price, card=card, least_bid=price // 2)
    for _ in range(14):
        spec = replace(SPEC, **any_demand(dice))  # type: ignore[arg-type]
        async with market.database.reading() as tx:
            whole = await find_place(tx, market.world, spec)
            seats = await find_seats(tx, spec.demand(), market.world.now())
            assert next(iter(seats), None) == whole.seat
        if whole.seat is not None:
            await market.rent(ann, **any_of(spec))


def any_of(spec: PodSpec) -> dict[str, object]:
    return {each.name: getattr(spec, each.name) for each in fields(spec)}
