"""What the gateway believes of pods and keys, and for how long."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio

from puna.market.actions.accounts import KeyWish, make_key
from puna.market.actions.tunnels import register_tunnel
from puna.market.db import accounts, tunnels
from puna.market.db.accounts import set_public_keys
from puna.market.db.database import DatabaseAway
from puna.market.domain.pods import Action, Status
from puna.market.domain.specs import InvalidPod, check
from puna.market.gateway.directory import Directory, Memory, NoSuchPod, check_runs, pod_in, reach
from puna.market.gateway.keys import GatewayKeys, public_line, ssh_key
from puna.market.gateway.tunnels import NothingThere, Stream, Tunnels
from puna.units import Span
from tests.market.stage import SPEC, Stage
from tests.market.tunnelling import derive
from tests.worlds import FakeWorld


async def none(host: str) -> None:
    del host


class Broken:
    """A link to a host on which nothing listens."""

    async def open(self, pod: str, port: int) -> Stream:
        raise NothingThere(f"refused {pod} {port}")


async def test_a_route_tells_where_a_pod_is_and_who_may_call(market: Stage) -> None:
    host, caller = await market.host(), await market.account("ada@example.org", "10")
    ports, access = ("80/http", "8888/http", "22/tcp"), {"80": "open", "8888": "closed"}
    pod = await market.rent(caller, ports=ports, access=access)
    await market.tick(times=2)
    route = await Directory(market.database, market.world).route(pod.id)
    assert (route.pod, route.account, route.host) == (pod.id, caller.account.id, host.id)
    assert (route.status, route.ports) == (Status.RUNNING, frozenset({80, 8888}))
    assert [route.is_open(port) for port in (80, 8888, 22, 443)] == [True, False, False, False]


async def test_a_route_is_believed_for_two_seconds(market: Stage) -> None:
    await market.host()
    caller = await market.account("ada@example.org", "10")
    pod = await market.rent(caller)
    await market.tick(times=2)
    directory = Directory(market.database, market.world)
    await directory.route(pod.id)
    await market.act(caller, pod, Action.STOP)
    await market.world.advance(Span.of(seconds=1))
    assert (await directory.route(pod.id)).status is Status.RUNNING
    await market.world.advance(Span.of(seconds=2))
    assert (await directory.route(pod.id)).status is Status.EXITED


async def test_there_is_no_way_to_a_pod_that_is_terminated_or_never_was(market: Stage) -> None:
    await market.host()
    caller = await market.account("ada@example.org", "10")
    pod = await market.rent(caller)
    await market.act(caller, pod, Action.TERMINATE)
    directory = Directory(market.database, market.world)
    for name in (pod.id, "nosuchpod00000", ""):
        with pytest.raises(NoSuchPod):
            await directory.route(name)


async def test_a_route_has_the_accounts_public_keys(market: Stage) -> None:
    await market.host()
    caller = await market.account("ada@example.org", "10")
    async with market.database.transaction() as tx:
        await set_public_keys(tx, caller.account.id, ["ssh-ed25519 AAAA ada"])
    pod = await market.rent(caller)
    route = await Directory(market.database, market.world).route(pod.id)
    assert route.public_keys == ("ssh-ed25519 AAAA ada",)


async def test_a_key_that_was_revoked_is_believed_for_two_seconds_at_most(market: Stage) -> None:
    caller = await market.account("ada@example.org")
    async with market.database.transaction() as tx:
        made = await make_key(tx, market.world, caller.account.id, KeyWish(name="new"))
    directory = Directory(market.database, market.world)
    assert await directory.caller("rpa_wrong") is None
    found = await directory.caller(made.secret)
    assert found is not None
    assert found.key.name == "new"
    async with market.database.transaction() as tx:
        await accounts.revoke_key(tx, caller.account.id, made.key.id, market.world.now())
    assert await directory.caller(made.secret) == found
    await market.world.advance(Span.of(seconds=3))
    assert await directory.caller(made.secret) is None


class Books:
    """A database that answers when it is told to, and counts what it is asked."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.memory: Memory[int] = Memory(self.world)
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def look_up(self, name: str) -> int | None:
        del name
        self.asked += 1
        await self.may_answer.wait()
        return self.asked

    async def find(self) -> int | None:
        return await self.memory.find("pod", self.look_up)


@pytest_asyncio.fixture
async def books() -> Books:
    return Books()


async def test_a_crowd_that_wants_to_know_the_same_asks_once(books: Books) -> None:
    crowd = [asyncio.ensure_future(books.find()) for _ in range(1000)]
    await asyncio.sleep(0)
    crowd[0].cancel()  # one who goes away takes the answer from nobody else
    books.may_answer.set()
    found = await asyncio.gather(*crowd, return_exceptions=True)
    assert found[1:] == [1] * 999
    assert books.asked == 1


async def test_what_is_soon_too_old_is_looked_up_while_it_is_still_told(books: Books) -> None:
    books.may_answer.set()
    assert await books.find() == 1
    books.may_answer.clear()
    await books.world.advance(Span.of(ms=1500))
    assert [await books.find() for _ in range(3)] == [1] * 3
    books.may_answer.set()
    await books.world.advance(Span.of(ms=400))
    assert (await books.find(), books.asked) == (2, 2)


async def test_what_is_gone_is_not_told_again(books: Books) -> None:
    async def nothing(name: str) -> None:
        del name

    books.may_answer.set()
    await books.find()
    await books.world.advance(Span.of(ms=1500))
    assert await books.memory.find("pod", nothing) == 1
    await books.world.advance(Span.of(ms=1))
    assert await books.memory.find("pod", nothing) is None


async def test_a_failed_look_up_is_told_to_all_and_tried_again(books: Books) -> None:
    async def fails(name: str) -> int | None:
        raise DatabaseAway(name)

    crowd = [books.memory.find("pod", fails) for _ in range(3)]
    found = await asyncio.gather(*crowd, return_exceptions=True)
    assert [type(each) for each in found] == [DatabaseAway] * 3
    books.may_answer.set()
    assert await books.find() == 1


async def test_what_is_remembered_has_an_end() -> None:
    memory: Memory[int] = Memory(FakeWorld())
    for number in range(10_001):
        memory.keep(str(number), number)
    assert memory.get("0") is None
    assert memory.get("10000") == 10_000


async def test_nothing_answers_in_a_pod_that_does_not_run_and_it_is_said_why(market: Stage) -> None:
    host = await market.host()
    caller = await market.account("ada@example.org", "10")
    pod = await market.rent(caller)
    host.does[pod.id] = "pulling"
    await market.tick()
    route = await Directory(market.database, market.world).route(pod.id)
    with pytest.raises(NothingThere, match=rf"pod {pod.id} is STARTING \(as the test says\)"):
        check_runs(route)


async def test_what_listens_nowhere_is_named_with_its_port(market: Stage) -> None:
    host = await market.host()
    caller = await market.account("ada@example.org", "10")
    pod = await market.rent(caller)
    await market.tick(times=2)
    tunnels_here = Tunnels(none)
    tunnels_here.add(host.id, Broken())
    route = await Directory(market.database, market.world).route(pod.id)
    with pytest.raises(NothingThere, match=f"nothing answers on port 80 of pod {pod.id}") as caught:
        await reach(tunnels_here, route, 80)
    assert "0.0.0.0" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "pod"),
    [
        ("k3v9q1zt7m2abc", "k3v9q1zt7m2abc"),
        ("k3v9q1zt7m2abc-64411742", "k3v9q1zt7m2abc"),
        ("", ""),
    ],
)
def test_a_name_for_ssh_holds_the_pods_id(name: str, pod: str) -> None:
    assert pod_in(name) == pod


@pytest.mark.parametrize(
    ("access", "complaint"),
    [
        ({"80": "everybody"}, 'access to port 80 cannot be "everybody"'),
        ({"81": "open"}, "access is told of port 81"),
        ({"22": "open"}, "access is told of port 22"),
        ({"080": "open"}, "access is told of port 080"),
    ],
    ids=["unknown word", "no port", "tcp port", "another spelling"],
)
def test_access_is_told_of_http_ports_in_two_words(access: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidPod, match=complaint):
        check(replace(SPEC, ports=("80/http", "22/tcp"), access=access))


def test_every_process_derives_the_same_keys_and_no_other_market_does() -> None:
    one, two = GatewayKeys.of(derive), GatewayKeys.of(derive)
    other = GatewayKeys.of(lambda purpose: derive(f"{purpose}!"))
    assert one.public == two.public != other.public
    assert one.sign("pod") == two.sign("pod") != other.sign("pod")
    assert one.sign("pod") != one.sign("pod2")
    assert one.public.startswith("ssh-ed25519 AAAA")
    assert len(one.sign("pod")) == 32


def test_a_public_line_has_no_comment() -> None:
    assert public_line(ssh_key(bytes(32))).count(" ") == 1


async def test_a_host_that_registers_again_has_its_last_key_alone(market: Stage) -> None:
    host = await market.host()
    lines = [public_line(ssh_key(bytes([number]) * 32)) for number in (1, 2)]
    async with market.database.transaction() as tx:
        for line in lines:
            assert await register_tunnel(tx, host.key, f"{line} comment") == host.id
        known = await tunnels.tunnel_of(tx, host.id)
    assert known == tunnels.Tunnel(host=host.id, public_key=lines[1], ends_at="")


async def test_the_end_of_a_tunnel_is_noted_by_the_process_that_had_it(market: Stage) -> None:
    host = await market.host()
    async with market.database.transaction() as tx:
        await tunnels.set_tunnel_key(tx, host.id, "ssh-ed25519 x")
        await tunnels.tunnel_begins(tx, host.id, "one:1", market.world.now())
        await tunnels.tunnel_is_gone(tx, host.id, "two:2")
        still = await tunnels.tunnel_of(tx, host.id)
        await tunnels.tunnel_is_gone(tx, host.id, "one:1")
        gone = await tunnels.tunnel_of(tx, host.id)
        unknown = await tunnels.tunnel_of(tx, "nobody")
    assert still is not None
    assert gone is not None
    assert (still.ends_at, gone.ends_at, unknown) == ("one:1", "", None)


class Named:
    """A link that is known by its name, and opens nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def open(self, pod: str, port: int) -> Stream:
        raise NothingThere(f"{self.name} {pod} {port}")


async def used(tunnels_here: Tunnels, port: int) -> str:
    with pytest.raises(NothingThere) as caught:
        await tunnels_here.open("host", "pod", port)
    return caught.value.message.split()[0]


async def test_what_people_type_has_a_link_of_its_own() -> None:
    here = Tunnels(none)
    links = [Named(name) for name in ("one", "two", "three")]
    for link in links:
        here.add("host", link)
    assert [await used(here, 0) for _ in range(3)] == ["one"] * 3
    assert {await used(here, 80) for _ in range(4)} == {"two", "three"}
    assert not here.discard("host", links[1])
    assert {await used(here, 80) for _ in range(4)} == {"three"}
    assert not here.discard("host", links[0])
    assert {await used(here, port) for port in (0, 80)} == {"three"}
    assert here.discard("host", links[2])
    assert not here.discard("host", links[2])
    assert here.hosts == ()
