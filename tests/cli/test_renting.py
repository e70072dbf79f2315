"""What a renter types and reads, against a real market: offers, bills, budgets, keys."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from puna.cli.catalogue import language_of
from puna.market.actions.accounts import identify
from puna.market.db.accounts import Caller
from puna.market.domain.hosts import Tenure
from puna.units import Money
from tests.fakes.console import Ran, a_terminal, puna
from tests.market.lots import CARD
from tests.market.serving import MarketServing, market_serving

POLISH = language_of(("pl",))


@dataclass
class Renter:
    """Ann, with a market and a folder of her own."""

    market: MarketServing
    home: Path
    key: str
    environ: dict[str, str] = field(default_factory=dict)

    async def type(
        self, *words: str, typed: str = "", screen: bool = False, polish: bool = False
    ) -> Ran:
        """Run a command of puna's as she would."""
        terminal = a_terminal(typed, screen=screen, keys=bool(typed) and screen)
        if polish:
            terminal = terminal._replace(language=POLISH)
        environ = {"PUNA_HOME": str(self.home), **self.environ}
        return await asyncio.to_thread(puna, *words, environ=environ, terminal=terminal)

    async def read(self, *words: str) -> Any:  # noqa: ANN401 - whatever the command prints
        """Run a command with `--json` and return what it prints."""
        ran = await self.type(*words, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    async def caller(self) -> Caller:
        async with self.market.database.transaction() as tx:
            return await identify(tx, self.market.world, self.key)

    async def pod_that_ran(self, ticks: int = 2, **changes: object) -> str:
        """Rent a pod, let it run, and return its id."""
        pod = await self.market.rent(await self.caller(), **changes)
        await self.market.tick(times=ticks)
        return pod.id


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of a random name in it
TOGETHER = pytest.mark.asyncio(loop_scope="module")
"""For what changes nothing: one market is enough for all of it."""


@asynccontextmanager
async def renting(home: Path) -> AsyncIterator[Renter]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            key = await market.key("ann@example.org", "25")
            variables = {"PUNA_CLOUD_ADDRESS": market.url, "PUNA_CLOUD_KEY": key}
            yield Renter(market, home, key, variables)


@pytest_asyncio.fixture
async def ann(tmp_path: Path) -> AsyncIterator[Renter]:
    async with renting(tmp_path) as renter:
        yield renter


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Renter]:
    async with renting(tmp_path_factory.mktemp("home")) as renter:
        await renter.market.host("a")
        await renter.market.host("b", price=250_000, country="DE")
        yield renter


def fits(ran: Ran) -> bool:
    return all(len(line) <= 80 for line in ran.lines)


async def test_a_login_is_tried_and_kept_and_never_shown(ann: Renter) -> None:
    ann.environ = {}
    ran = await ann.type("cloud", "login", ann.market.url, typed=f"{ann.key}\n")
    assert ran.code == 0, ran.err
    assert ran.out == (f"ann@example.org at {ann.market.url}: balance $25.00\n")
    assert ann.key not in ran.out + ran.err
    file = ann.home / "cloud.json"
    assert (file.stat().st_mode & 0o777, json.loads(file.read_text())["key"]) == (0o600, ann.key)
    assert (await ann.type("cloud", "status")).lines[1] == "account  ann@example.org"
    assert (await ann.type("cloud", "logout")).code == 0
    assert (await ann.type("cloud", "logout")).code == 1
    assert "no cloud is known" in (await ann.type("offers")).err


async def test_a_person_is_asked_for_the_key(ann: Renter) -> None:
    ann.environ = {}
    ran = await ann.type("cloud", "login", ann.market.url, typed=f"{ann.key}\n", screen=True)
    assert ran.code == 0, ran.err
    assert ran.err == f"Key of {ann.market.url}, which is not shown: "


@TOGETHER
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("rpa_wrong\n", "the key is unknown, revoked or over"),
        ("two words\n", "that is no key"),
        ("", "that is no key"),
        ("kéy", "that is no key"),
    ],
)
async def test_a_bad_key_is_not_kept(shared: Renter, typed: str, says: str) -> None:
    ran = await shared.type("cloud", "login", shared.market.url, typed=typed)
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err
    assert not (shared.home / "cloud.json").exists()


async def test_the_account_tells_how_long_its_money_lasts(ann: Renter) -> None:
    await ann.market.host()
    await ann.pod_that_ran()
    ran = await ann.type("cloud", "status")
    assert ran.lines[4:7] == ["an hour  $0.36274", "lasts    2d20h", "pods     1 of 1 run"]
    found = await ann.read("cloud", "status")
    assert Money.parse(found["balance"]) + Money.parse(found["held"]) < Money.parse("25")
    assert (found["address"], found["running"]) == (ann.market.url, 1)


async def test_offers_are_a_table_of_80_columns(ann: Renter) -> None:
    await ann.market.host(country="PL")
    await ann.market.host("de", country="DE")
    await ann.market.host("cpu", country="PL", card="", cards=0, card_memory=0)
    ran = await ann.type("offers", "--country", "pl")
    assert ran.lines == [
        "CARD      FREE      MEMORY  RAM    AT  CLOUD      ON DEMAND  SPOT FROM",
        "RTX 4090  2 of 2    24 GB   64 GB  PL  COMMUNITY  $0.36      $0.10",
        "16 CPUs   16 of 16  -       64 GB  PL  COMMUNITY  $0.36      $0.10",
    ]
    assert ran.err == "more do not do: 1; another country (1)\n"
    assert fits(ran)


async def test_machines_without_cards_are_left_out_where_a_card_is_asked_for(ann: Renter) -> None:
    await ann.market.host("cpu", card="", cards=0, card_memory=0)
    await ann.market.host("busy", is_paused=True)
    for words in (("--count", "1"), ("--memory", "8")):
        found = await ann.read("offers", *words)
        assert found["offers"] == []
    found = await ann.read("offers")
    assert [each["processors"] for each in found["offers"]] == [16]
    assert found["refused"] == {"its owner does not offer it now": 1}


@TOGETHER
@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ((), 2),
        (("--card", "4090"), 2),
        (("--memory", "24"), 2),
        (("--count", "2"), 2),
        (("--count", "8"), 0),
        (("--max-price", "0.30"), 1),
        (("--spot",), 2),
        (("--spot", "--bid", "0.01"), 0),
        (("--secure",), 0),
        (("--community",), 2),
        (("--ram", "100"), 0),
        (("--down", "100"), 0),
        (("--public-ip",), 0),
        (("--runtime", "runsc"), 0),
        (("--cpus", "4"), 2),
    ],
    ids=str,
)
async def test_offers_are_filtered(shared: Renter, words: tuple[str, ...], rows: int) -> None:
    found = await shared.read("offers", *words)
    assert len(found["offers"]) == rows
    assert sum(found["refused"].values()) == len(found["why_by_host"]) == 2 - rows


@TOGETHER
async def test_whoever_wants_processors_sees_those_of_machines_with_cards(shared: Renter) -> None:
    lines = (await shared.type("offers", "--cpus", "4")).lines
    assert len(lines) == 3
    assert all(line.startswith("16 CPUs  16 of 16  -") for line in lines[1:])


async def test_the_cheapest_is_first_and_what_is_within_reach_is_shown(ann: Renter) -> None:
    await ann.market.host("dear", price=900_000)
    await ann.market.host("cheap", price=100_000)
    await ann.market.rent(await ann.caller(), tenure=Tenure.SPOT, bid=Money(150_000))
    lines = (await ann.type("offers")).lines
    assert lines[1].split()[:6] == ["RTX", "4090", "1", "of", "2", "+1"]
    assert [line.split("COMMUNITY")[1].split()[0] for line in lines[1:]] == ["$0.10", "$0.90"]


async def test_all_reasons_have_a_line_each(ann: Renter) -> None:
    await ann.market.host("a", country="DE")
    await ann.market.host("b", is_paused=True, country="PL")
    err = (await ann.type("offers", "--country", "PL", "--all")).err
    assert err.splitlines() == [
        "more do not do: 2;",
        "  another country (1)",
        "  its owner does not offer it now (1)",
    ]


@TOGETHER
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--card", "5090"), 'no card here is a "5090"'),
        (("--secure", "--community"), "exclude each other"),
        (("--bid", "1"), "--bid needs --spot"),
        (("--spot", "--bid", "a lot"), "not an amount of dollars"),
        (("--count", "0"), "'--count'"),
        (("--cuda", "new"), "not a version of CUDA"),
    ],
    ids=str,
)
async def test_what_makes_no_sense_gets_one_line(
    shared: Renter, words: tuple[str, ...], says: str
) -> None:
    ran = await shared.type("offers", *words)
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err.splitlines()[0]


async def test_spending_is_drawn_as_bars(ann: Renter) -> None:
    await ann.market.host(price=20_000_000)
    await ann.pod_that_ran(3)
    ran = await ann.type("bill")
    assert ran.lines[0].startswith("2026-08-01  $")
    assert ran.lines[0].endswith("█")
    assert ran.lines[-1].startswith("total       $")
    assert fits(ran)
    assert len(ran.lines[0]) == 80


@pytest.mark.parametrize("by", ["pod", "project", "key", "card"])
async def test_spending_is_summed_by_what_is_asked_for(ann: Renter, by: str) -> None:
    await ann.market.host()
    await ann.pod_that_ran()
    names = {"pod": "mine", "project": "-", "key": "key", "card": CARD}
    ran = await ann.type("bill", "--by", by)
    assert ran.lines[0].startswith(f"{names[by]}  ")
    found = await ann.read("bill", "--by", by)
    assert found["rows"][0]["amount"] == found["total"] != "0.00"


async def test_a_bill_of_nothing_is_nothing(ann: Renter) -> None:
    assert (await ann.type("bill")).lines == ["total  $0.00"]


async def test_every_line_can_be_seen_and_explained(ann: Renter) -> None:
    await ann.market.host()
    pod = await ann.pod_that_ran()
    lines = (await ann.type("bill", "--lines", "--pod", "mine")).lines
    assert lines[0].split()[2:] == ["cards", "60.0", "s", "at", "$0.36", "=", "$0.006"]
    line = lines[1].strip()
    assert line.startswith(f"{pod}:cards:1:")
    shown = await ann.type("bill", "--explain", line)
    assert "amount    $0.006" in shown.lines
    assert any(row.split() == ["-0.006", f"escrow:{pod}"] for row in shown.lines)
    found = await ann.read("bill", "--explain", line)
    assert sum(Money.parse(row["amount"]) for row in found["postings"]) == 0
    assert len(await ann.read("bill", "--lines")) == len(lines) // 2
    assert "no line nothing" in (await ann.type("bill", "--explain", "nothing")).err


async def test_budgets_are_set_listed_and_removed(ann: Renter) -> None:
    await ann.market.host()
    pod = await ann.pod_that_ran()
    assert (await ann.type("budget", "set", "account", "10", "--a-day")).code == 0
    assert (await ann.type("budget", "set", "project", "web", "5")).code == 0
    ran = await ann.type("budget", "set", "pod", "mine", "1.50")
    assert ran.lines[1].split()[:3] == ["pod", pod, "$1.50"]
    listed = await ann.type("budget", "list")
    assert len(listed.lines) == 4
    assert any("$10.00 a day" in line for line in listed.lines)
    assert fits(listed)
    found = await ann.read("budget", "list")
    for each in found:
        assert (await ann.type("budget", "remove", each["id"])).code == 0
    assert (await ann.type("budget", "list")).lines == ["OF  NAME  LIMIT  SPENT AND HELD  LEFT  ID"]


@TOGETHER
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("set", "account", "web", "5"), "puna budget set account DOLLARS"),
        (("set", "project", "5"), "puna budget set project NAME DOLLARS"),
        (("set", "pod", "none", "5"), 'there is no pod "none"'),
        (("set", "key", "none", "5"), "there is no key none"),
        (("set", "account", "much"), "not an amount of dollars"),
        (("set", "planet", "5"), "'planet' is not one of"),
        (("remove", "none"), "there is no budget none"),
    ],
    ids=str,
)
async def test_budgets_that_make_no_sense_get_one_line(
    shared: Renter, words: tuple[str, ...], says: str
) -> None:
    ran = await shared.type("budget", *words)
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err.splitlines()[0]


async def test_keys_are_made_once_listed_and_revoked(ann: Renter) -> None:
    ran = await ann.type("cloud", "keys", "create", "ci", "--read-only", "--expires", "30d")
    assert ran.out.startswith("rpa_")
    assert ran.err.splitlines()[0] == 'Key "ci". It is shown only now:'
    assert ran.err.splitlines()[1].startswith("it is good until 2026-08-31")
    listed = await ann.type("cloud", "keys", "list")
    assert ran.out.strip() not in listed.out
    assert any(line.startswith("ci ") and " read " in line for line in listed.lines)
    made = await ann.read("cloud", "keys", "create", "two")
    assert made["readOnly"] is False
    assert len(await ann.read("cloud", "keys", "list")) == 3
    assert (await ann.type("cloud", "keys", "revoke", "ci")).out == "revoked 'ci'\n"
    assert "there is no key ci" in (await ann.type("cloud", "keys", "revoke", "ci")).err


async def test_a_reading_key_says_so_and_changes_nothing(ann: Renter) -> None:
    made = await ann.read("cloud", "keys", "create", "look", "--read-only")
    ann.environ["PUNA_CLOUD_KEY"] = made["key"]
    assert (await ann.type("cloud", "status")).lines[-1] == "key      may only read"
    ran = await ann.type("budget", "set", "account", "1")
    assert ran.code == 1
    assert "may only read" in ran.err


@TOGETHER
@pytest.mark.parametrize(
    ("words", "polish"),
    [
        (("offers", "--country", "PL"), "innych nie pasuje: 2; inny kraj (2)"),
        (("cloud", "keys", "create", "ci"), "Klucz „ci”. Widać go tylko teraz:"),
        (("budget", "remove", "x"), "Błąd: nie ma limitu x"),
        (("offers", "--bid", "1"), "Błąd: --bid wymaga --spot"),
    ],
    ids=str,
)
async def test_a_person_who_reads_polish_reads_polish(
    shared: Renter, words: tuple[str, ...], polish: str
) -> None:
    ran = await shared.type(*words, polish=True)
    assert polish in ran.err


async def test_no_market_answers_in_one_line(ann: Renter) -> None:
    ann.environ["PUNA_CLOUD_ADDRESS"] = "http://127.0.0.1:9"
    ran = await ann.type("budget", "set", "account", "1")
    assert (ran.code, ran.out) == (1, "")
    assert "nothing answers at http://127.0.0.1:9" in ran.err
