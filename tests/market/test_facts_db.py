"""Facts of pods as the database has them: whole lists, what is held and spent, where they are."""

from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.actions.editing import PodChange, edit_pod
from puna.market.db.accounts import Caller
from puna.market.db.hosts import sites_of
from puna.market.db.pods import Pod
from puna.market.db.sealing import Seal
from puna.market.domain.pods import Action, Status
from puna.market.http.pods import PodFacts, all_facts, doors_of, fact_of, facts_of
from puna.market.market import Market, tariff_of
from puna.market.settings import load_market_settings
from puna.settings import Address
from tests.market.lots import CARD
from tests.market.stage import Stage


@pytest_asyncio.fixture
async def process(market: Stage, tmp_path: Path) -> Market:
    """Return a process over the stage's database."""
    settings = load_market_settings({"PUNA_MARKET_HOME": str(tmp_path), "HOME": str(tmp_path)})
    return Market(
        database=market.database,
        world=market.world,
        tariff=tariff_of(settings),
        settings=settings,
        seal=Seal(bytes(32)),
    )


async def told(process: Market, pod: Pod) -> PodFacts:
    async with process.database.transaction() as tx:
        return await fact_of(tx, process, pod)


async def whole_list(process: Market, caller: Caller) -> list[PodFacts]:
    async with process.database.transaction() as tx:
        return list(await all_facts(tx, process, caller.account.id))


async def test_what_is_held_and_spent_adds_up_to_what_left_the_account(
    market: Stage, process: Market
) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    assert (await told(process, pod)).held == 0
    await market.tick(times=5)
    found = await told(process, await market.look(pod))
    charged = sum(each.line.amount for each in await market.bill(ann))
    assert found.pod.spent == charged > 0
    assert found.held > 0


async def test_what_was_spent_is_known_when_nothing_is_held_any_more(
    market: Stage, process: Market
) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=5)
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=3)
    found = await told(process, await market.look(pod))
    assert (found.held, found.site) == (0, None)
    assert found.pod.spent == sum(each.line.amount for each in await market.bill(ann))


async def test_a_pod_is_told_with_its_machine(market: Stage, process: Market) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host(country="pl", public_ip="203.0.113.7", cuda="12.8")
    found = await told(process, await market.rent(ann))
    assert found.site is not None
    assert found.site.id == host.id
    assert (found.card, found.cuda) == (CARD, "12.8")
    assert found.site.machine.public_ip == "203.0.113.7"
    assert found.public_ip == ""  # it does not run yet


async def test_a_data_center_that_a_host_names_can_be_asked_for(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host("a", data_center="EU-RO-1")
    there = await market.host("b", data_center="EU-PL-1", price=900_000)
    pod = await market.rent(ann, data_centers=("EU-PL-1",))
    assert pod.host == there.id


async def test_a_list_has_every_pod_that_is_not_terminated(market: Stage, process: Market) -> None:
    ann = await market.account("ann@example.org", "50")
    bob = await market.account("bob@example.org", "50")
    await market.host(cards=8, processors=64, memory=10**12)
    pods = [await market.rent(ann) for _ in range(3)]
    await market.rent(bob)
    await market.act(ann, pods[0], Action.STOP)
    await market.act(ann, pods[1], Action.TERMINATE)
    found = {each.pod.id: each.status for each in await whole_list(process, ann)}
    assert found == {pods[0].id: Status.EXITED, pods[2].id: Status.STARTING}


async def test_a_long_list_is_read_in_pages_and_given_whole(market: Stage, process: Market) -> None:
    ann = await market.account("ann@example.org", "50")
    await market.host(cards=8, processors=64, memory=10**12)
    pods = sorted([(await market.rent(ann)).id for _ in range(5)])
    async with process.database.transaction() as tx:
        found = await all_facts(tx, process, ann.account.id, rows=2)
    assert [each.pod.id for each in found] == pods


async def test_nothing_is_told_of_no_pods(market: Stage, process: Market) -> None:
    async with market.database.transaction() as tx:
        assert await facts_of(tx, process, []) == []
        assert await sites_of(tx, set()) == {}
        assert await sites_of(tx, {"nothere"}) == {}


async def test_facts_come_in_the_order_of_their_pods(market: Stage, process: Market) -> None:
    ann = await market.account("ann@example.org", "50")
    await market.host()
    one, two = await market.rent(ann), await market.rent(ann)
    async with market.database.transaction() as tx:
        found = await facts_of(tx, process, [two, one])
    assert [each.pod.id for each in found] == [two.id, one.id]


def test_doors_are_where_clients_reach_the_market(process: Market) -> None:
    settings = replace(
        process.settings,
        public_address="https://market.example.org",
        domain="pods.example.org",
        ssh_address=Address(host="0.0.0.0", port=2222),
    )
    doors = doors_of(replace(process, settings=settings))
    assert doors.url_of("p", 80) == "https://p-80.pods.example.org/"
    assert doors.ssh_command("p") == "ssh p@market.example.org -p 2222"


@pytest.mark.parametrize(
    ("environ", "listens", "reached"),
    [
        ({}, "127.0.0.1:11522", "127.0.0.1:11522"),
        ({"ADDRESS": "0.0.0.0"}, "0.0.0.0:11522", "127.0.0.1:11522"),
        ({"SSH_ADDRESS": "0.0.0.0:22"}, "0.0.0.0:22", "127.0.0.1:22"),
        (
            {"ADDRESS": "0.0.0.0", "PUBLIC_ADDRESS": "http://office:11500"},
            "0.0.0.0:11522",
            "office:11522",
        ),
        (
            {"PUBLIC_ADDRESS": "https://office", "SSH_PUBLIC_ADDRESS": "ssh.office:22"},
            "127.0.0.1:11522",
            "ssh.office:22",
        ),
    ],
)
def test_ssh_is_where_the_market_is_unless_said_otherwise(
    tmp_path: Path, environ: dict[str, str], listens: str, reached: str
) -> None:
    variables = {f"PUNA_MARKET_{name}": value for name, value in environ.items()}
    settings = load_market_settings({"PUNA_HOME": str(tmp_path), **variables})
    assert f"{settings.ssh_address.host}:{settings.ssh_address.port}" == listens
    assert f"{settings.ssh_door.host}:{settings.ssh_door.port}" == reached


async def test_access_changes_in_place_and_forgets_ports_that_are_gone(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, ports=("80/http", "81/http"))
    async with market.database.transaction() as tx:
        change = PodChange(access={"80": "open", "81": "open"})
        opened = await edit_pod(tx, market.world, ann, pod.id, change)
        assert (opened.state.run, opened.spec.access) == (1, {"80": "open", "81": "open"})
        fewer = await edit_pod(tx, market.world, ann, pod.id, PodChange(ports=("81/http",)))
    assert (fewer.state.run, fewer.spec.access) == (2, {"81": "open"})


async def test_access_and_image_change_together(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, ports=("80/http",))
    change = PodChange(access={"80": "open"}, image="img:2")
    async with market.database.transaction() as tx:
        found = await edit_pod(tx, market.world, ann, pod.id, change)
    assert (found.spec.image, found.spec.access, found.state.run) == ("img:2", {"80": "open"}, 2)
