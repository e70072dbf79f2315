"""What the operator does, over HTTP and by `puna market`: accounts, keys, credit, hosts, tokens."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from puna.cli.market_calls import OperatorCalls
from puna.cli.session import Session
from puna.cloud.settings import Login, keep_login
from puna.market.db.ledger import imbalance
from puna.market.db.notices import Kind, notice
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Status
from puna.settings import read_address
from puna.units import Money, Span
from puna.wire.operator import PATH
from tests.fakes.console import Ran, a_terminal, puna
from tests.market.serving import MarketServing, Reply, market_serving


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as market:
        yield market


async def operate(
    serving: MarketServing, method: str, path: str, body: object = None, *, key: str | None = None
) -> Reply:
    return await serving.ask(
        method, PATH + path, body, key=serving.admin_key if key is None else key
    )


async def cli(serving: MarketServing, *words: str, key: str | None = None) -> Ran:
    """Run `puna market ...` against the market."""
    environ = {
        "PUNA_MARKET_ADDRESS": serving.url.removeprefix("http://"),
        "PUNA_MARKET_KEY": serving.admin_key if key is None else key,
    }
    return await asyncio.to_thread(puna, "market", *words, environ=environ)


async def told(serving: MarketServing, *words: str) -> Any:  # noqa: ANN401 - JSON
    ran = await cli(serving, *words, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


PATHS = ["/status", "/accounts", "/keys", "/hosts", "/tokens", "/orphans", "/notices"]


@pytest.mark.parametrize("path", PATHS)
async def test_only_the_operator_looks(serving: MarketServing, path: str) -> None:
    ann = await serving.key("ann@example.org")
    assert (await operate(serving, "GET", path, key=ann)).status == 403
    assert (await operate(serving, "GET", path, key="")).status == 401
    assert (await operate(serving, "GET", path)).status == 200


async def test_an_account_is_opened_with_a_key_that_works(serving: MarketServing) -> None:
    opened = await told(serving, "accounts", "open", "ann@example.org")
    again = await cli(serving, "accounts", "open", "ann@example.org")
    assert (again.code, again.err) == (1, "Error: an account for ann@example.org exists\n")
    key = opened["key"]["secret"]
    assert (await operate(serving, "GET", "/status", key=key)).status == 403
    listed = await told(serving, "accounts")
    assert [each["email"] for each in listed] == ["admin@localhost", "ann@example.org"] or (
        {each["email"] for each in listed} == {"admin@localhost", "ann@example.org"}
    )


async def test_a_key_is_shown_alone_on_stdout(serving: MarketServing) -> None:
    ran = await cli(serving, "accounts", "open", "ann@example.org")
    assert ran.out.startswith("rpa_")
    assert len(ran.out.split()) == 1
    assert "shown only now" in ran.err


async def test_lists_never_show_a_secret(serving: MarketServing) -> None:
    opened = await told(serving, "accounts", "open", "ann@example.org")
    made = await told(serving, "tokens", "make", "ann@example.org")
    for words in ("keys", "tokens", "accounts"):
        ran = await cli(serving, words, "--json")
        assert opened["key"]["secret"] not in ran.out
        assert made["secret"] not in ran.out
        assert ran.code == 0


async def test_credit_is_granted_once_for_each_word(serving: MarketServing) -> None:
    await told(serving, "accounts", "open", "ann@example.org")
    for _ in range(2):
        granted = await told(serving, "credit", "ann@example.org", "2.50", "--once", "may")
        assert granted["balance"] == "2.50"
    ran = await cli(serving, "credit", "ann@example.org", "1")
    assert ran.out == "ann@example.org may spend $3.50\n"


async def test_an_owner_is_paid_once_for_each_word(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "5")
    await serving.host("box")
    await serving.rent(ann)
    await serving.tick(3600, times=2)
    (owner,) = [
        each for each in await told(serving, "accounts") if each["email"] == "box@example.org"
    ]
    for _ in range(2):
        paid = await told(serving, "payout", "box@example.org", "0.005", "--once", "may")
        assert paid["amount"] == "0.005"
        assert Money.parse(paid["left"]) == Money.parse(owner["earned"]) - 5000
    ran = await cli(serving, "payout", "box@example.org")
    assert ran.out == f"box@example.org was paid ${paid['left']}; $0.00 is left\n"
    async with serving.database.reading() as tx:
        assert await imbalance(tx) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("payout", "nobody@example.org"), "there is no account nobody@example.org"),
        (("payout", "admin@localhost"), "admin@localhost has earned $0.00 that was not paid out"),
        (("payout", "admin@localhost", "1"), "has earned $0.00"),
        (("payout", "admin@localhost", "much"), '"much" is not an amount of dollars'),
        (("credit", "nobody@example.org", "1"), "there is no account nobody@example.org"),
        (("credit", "admin@localhost", "much"), '"much" is not an amount of dollars'),
        (("credit", "admin@localhost", "0"), "moves nothing"),
        (("credit", "admin@localhost", "0.0000001"), "whole number of micro-dollars"),
        (("keys", "revoke", "nothing"), "there is no key nothing that is good"),
        (("keys", "make", "nobody@example.org"), "there is no account"),
        (("hosts", "drain", "nothing"), "there is no host nothing"),
        (("tokens", "make", "nobody@example.org"), "there is no account"),
        (("accounts", "open", "no address"), "email"),
    ],
)
async def test_a_mistake_is_one_line(
    serving: MarketServing, words: tuple[str, ...], said: str
) -> None:
    ran = await cli(serving, *words)
    assert ran.code == 1
    assert said in ran.err.splitlines()[0]


async def test_a_missing_or_foreign_key_is_said(serving: MarketServing) -> None:
    without = await cli(serving, "status", key="")
    assert "the market asks for the operator's key" in without.err
    assert "PUNA_MARKET_KEY" in without.err
    ann = await serving.key("ann@example.org")
    assert "only the market's operator" in (await cli(serving, "status", key=ann)).err


async def test_who_has_logged_in_as_operator_needs_no_variable(
    serving: MarketServing, tmp_path: Path
) -> None:
    home = {"PUNA_HOME": str(tmp_path / "home")}
    here = home | {"PUNA_MARKET_ADDRESS": serving.url.removeprefix("http://")}
    login = ("cloud", "login", serving.url)
    typed = a_terminal(serving.admin_key + "\n")
    ran = await asyncio.to_thread(puna, *login, environ=home, terminal=typed)
    assert ran.code == 0, ran.err
    ran = await asyncio.to_thread(puna, "market", "status", environ=here)
    assert ran.code == 0, ran.err
    elsewhere = home | {"PUNA_MARKET_ADDRESS": "127.0.0.1:9"}
    ran = await asyncio.to_thread(puna, "market", "status", environ=elsewhere)
    assert ran.code == 1


async def test_a_revoked_key_opens_nothing(serving: MarketServing) -> None:
    await told(serving, "accounts", "open", "ann@example.org")
    made = await told(serving, "keys", "make", "ann@example.org", "--name", "ci", "--read-only")
    assert not made["may_write"]
    assert (await operate(serving, "GET", "/status", key=made["secret"])).status == 403
    assert (await cli(serving, "keys", "revoke", made["id"])).code == 0
    assert (await operate(serving, "GET", "/status", key=made["secret"])).status == 401
    listed = await told(serving, "keys", "--account", "ann@example.org")
    assert [bool(each["revoked"]) for each in listed if each["name"] == "ci"] == [True]


async def test_a_key_ends_when_it_was_to(serving: MarketServing) -> None:
    made = await told(serving, "keys", "make", "admin@localhost", "--expires", "1d")
    assert (await operate(serving, "GET", "/status", key=made["secret"])).status == 200
    await serving.world.advance(Span.of(hours=25))
    assert (await operate(serving, "GET", "/status", key=made["secret"])).status == 401


async def test_a_token_lets_one_machine_in(serving: MarketServing) -> None:
    made = await told(serving, "tokens", "make", "admin@localhost", "--secure")
    machine = {"processors": 4, "memory": 10**9, "disk": 10**9}
    asked = {"token": made["secret"], "name": "box", "machine": machine, "terms": {"price": 1}}
    assert (await serving.ask("POST", "/agent/v1/join", asked)).status == 200
    assert (await serving.ask("POST", "/agent/v1/join", asked)).status == 401
    (host,) = await told(serving, "hosts")
    assert (host["name"], host["cloud"], host["price"]) == ("box", "SECURE", "0.000001")
    (token,) = await told(serving, "tokens")
    assert token["used"]


async def test_a_drained_host_gets_no_new_pod(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "3")
    host = await serving.host()
    assert (await cli(serving, "hosts", "drain", host.id)).out == "box gets no new pods\n"
    reply = await operate(serving, "GET", "/hosts")
    assert reply.json["hosts"][0]["is_draining"]
    await cli(serving, "hosts", "undrain", host.id)
    pod = await serving.rent(ann)
    await serving.tick()
    assert await serving.status(pod) is Status.RUNNING


async def test_lists_come_in_pages(serving: MarketServing) -> None:
    for number in range(5):
        await serving.account(f"renter{number}@example.org")
    first = (await operate(serving, "GET", "/accounts?limit=4")).json
    second = (await operate(serving, "GET", f"/accounts?limit=4&after={first['next']}")).json
    emails = [each["email"] for each in (*first["accounts"], *second["accounts"])]
    assert len(set(emails)) == 6
    assert second["next"] == ""
    assert (await operate(serving, "GET", "/accounts?limit=0")).status == 422
    assert len(await told(serving, "accounts", "--limit", "3")) == 3
    assert len(await told(serving, "accounts", "--limit", "0")) == 6


async def test_the_status_adds_up(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "3")
    await serving.host()
    await serving.rent(ann)
    await serving.tick(times=2)
    status = await told(serving, "status")
    assert status["pods"] == {"run/running": 1}
    assert status["imbalance"] == "0.00"
    assert sum(Money.parse(amount) for amount in status["money"].values()) == 0
    fees = Money.parse(status["money"]["fee"])
    assert fees == await serving.balance(BookKind.FEE) > 0
    assert (status["hosts"], status["hosts_fresh"]) == (1, 1)


async def test_prometheus_reads_the_numbers(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "3")
    await serving.host()
    await serving.rent(ann)
    await serving.tick()
    reply = await serving.ask("GET", "/metrics", key=serving.admin_key)
    families = {each.name: each for each in text_string_to_metric_families(reply.body.decode())}
    (pods,) = families["puna_market_pods"].samples
    assert pods.labels == {"desired": "run", "observed": "running"}
    money = families["puna_market_microdollars"].samples
    assert sum(each.value for each in money) == 0
    assert (await serving.ask("GET", "/metrics")).status == 401


async def test_every_table_fits_80_columns(serving: MarketServing) -> None:
    email = f"{'somebody-with-a-long-name' * 2}@example.org"
    await serving.account(email, "1234.567891")
    host = await serving.host("a-machine-with-a-name-that-goes-on")
    await cli(serving, "hosts", "drain", host.id)
    await cli(serving, "keys", "make", email, "--name", "n" * 64, "--expires", "30d")
    await cli(serving, "tokens", "make", email, "--secure")
    for words in ("status", "accounts", "keys", "hosts", "tokens", "orphans", "notices"):
        ran = await cli(serving, words)
        assert ran.code == 0, ran.err
        assert max(map(len, ran.out.splitlines())) <= 80, ran.out


async def test_a_market_that_is_not_there_is_said() -> None:
    ran = await asyncio.to_thread(
        puna, "market", "status", environ={"PUNA_MARKET_ADDRESS": "127.0.0.1:9"}
    )
    assert (ran.code, "nothing answers at" in ran.err) == (1, True)
    assert "start one with `puna market serve`" in ran.err


@pytest.mark.parametrize(
    ("set_to", "asked"),
    [
        ({}, "http://127.0.0.2:9"),
        ({"PUNA_MARKET_ADDRESS": "127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"PUNA_MARKET_KEY": "rpa_x"}, "http://127.0.0.1:11500"),
    ],
)
def test_the_market_that_one_is_logged_in_to_is_asked_unless_another_is_named(
    tmp_path: Path, set_to: dict[str, str], asked: str
) -> None:
    environ = {"PUNA_HOME": str(tmp_path)} | set_to
    keep_login(Login(read_address("127.0.0.2:9"), "rpa_k"), mark="1", environ=environ)
    assert OperatorCalls(Session(a_terminal(), environ)).url == asked


async def note(serving: MarketServing, kind: Kind, subject: str, text: str) -> None:
    async with serving.database.transaction() as tx:
        await notice(tx, kind, subject, text, serving.world.now())


async def test_what_went_wrong_is_listed_and_cleared(serving: MarketServing) -> None:
    for _ in range(3):
        await note(serving, Kind.CLOCK, "h1", "the clock of host box is wrong by 1:00:00")
    await note(serving, Kind.LEDGER, "sum", "all books together are $0.000007 " * 9)
    first, second = await told(serving, "notices")
    assert (first["subject"], first["times"], first["stops_renting"]) == ("h1", 3, False)
    assert (second["kind"], second["stops_renting"]) == ("ledger", True)
    ran = await cli(serving, "notices")
    assert ran.out.splitlines()[2].startswith("2! ")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert (await cli(serving, "notices", "clear", "2")).code == 0
    assert [each["number"] for each in await told(serving, "notices")] == [1]
    again = await cli(serving, "notices", "clear", "2")
    assert (again.code, again.err) == (1, "Error: there is no open notice 2\n")


async def test_notices_come_in_pages(serving: MarketServing) -> None:
    for number in range(5):
        await note(serving, Kind.GONE, f"h{number}", "gone")
    first = (await operate(serving, "GET", "/notices?limit=3")).json
    rest = (await operate(serving, "GET", f"/notices?limit=3&after={first['next']}")).json
    assert [each["subject"] for each in first["notices"]] == ["h0", "h1", "h2"]
    assert [each["subject"] for each in rest["notices"]] == ["h3", "h4"]
    assert rest["next"] == ""
