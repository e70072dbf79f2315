"""Rows of a plan that a cloud offers now, beside those of the dated list."""

import asyncio
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from puna.batch.plan import bids_of
from puna.batch.prices import CardPrice, PriceSource, shipped_prices
from puna.cli.batch_offers import live_rows, with_offers
from puna.cli.batch_plan_view import as_data, as_lines
from puna.cli.session import Session
from puna.units import Money, Size
from tests.cli.test_batch_plan import FOUND, SIZE
from tests.fakes.console import a_terminal
from tests.fakes.runpod import KEY, FakeRunPod, running_runpod
from tests.market.instant import MEMORY
from tests.market.serving import market_serving

TODAY = date(2026, 11, 24)
NOW = PriceSource("https://market.example", TODAY, is_live=True)
DATED = shipped_prices().cards


@pytest.fixture
def runpod() -> Iterator[FakeRunPod]:
    with running_runpod() as fake:
        yield fake


def session_at(home: Path, url: str, key: str) -> Session:
    environ = {"PUNA_HOME": str(home), "PUNA_CLOUD_ADDRESS": url, "PUNA_CLOUD_KEY": key}
    return Session(a_terminal(), environ if url else {"PUNA_HOME": str(home)})


def live(cards: tuple[CardPrice, ...]) -> list[CardPrice]:
    return [each for each in cards if each.source.is_live]


def test_a_live_row_has_the_offers_price_and_the_dated_rows_speed() -> None:
    offers = {"RTX 4090": (24, Money.parse("0.3")), "Odd 1": (8, Money.parse("0.1"))}
    (row,), unknown = live_rows(offers, DATED, NOW)
    dated = next(each for each in DATED if each.name.startswith("RTX 4090"))
    assert (row.name, row.hour, row.memory) == (
        "RTX 4090, on offer",
        Money.parse("0.3"),
        Size.parse("24GiB"),
    )
    assert (row.speed, unknown) == (dated.speed, ("Odd 1",))


def test_the_plan_tells_live_from_dated() -> None:
    rows, _ = live_rows({"RTX 4090": (24, Money.parse("0.3"))}, DATED, NOW)
    prices = shipped_prices()
    bids = bids_of(FOUND, SIZE, type(prices)((*rows, *prices.cards), prices.hosted))
    lines = [line for line, _ in as_lines(FOUND, bids, TODAY)]
    (offered,) = [line for line in lines if line.startswith("RTX 4090, on offer")]
    assert offered.endswith("   now")
    assert any("on offer now is that of https://market.example" in line for line in lines)
    assert max(map(len, lines)) <= 80
    cards = as_data(FOUND, bids)["cards"]
    assert isinstance(cards, list)
    assert [each["live"] for each in cards][:2] == [True, False]


async def test_a_markets_cheapest_offer_of_each_card_is_a_row(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            key = await market.key("ann@example.org")
            await market.host("dear", price=900_000)
            await market.host("cheap", price=250_000)
            session = session_at(tmp_path, market.url, key)
            found = await asyncio.to_thread(with_offers, session, shipped_prices(), TODAY)
    (row,) = live(found.cards)
    assert row.name == "RTX 4090, on offer"
    assert Money.parse("0.25") <= row.hour < Money.parse("0.26")


def test_runpods_catalog_is_a_price_of_now_too(runpod: FakeRunPod, tmp_path: Path) -> None:
    found = with_offers(session_at(tmp_path, runpod.url, KEY), shipped_prices(), TODAY)
    assert "RTX 4090, on offer" in [each.name for each in live(found.cards)]


@pytest.mark.parametrize(("url", "says"), [("", ""), ("http://127.0.0.1:9", "are left out")])
def test_without_a_cloud_the_dated_list_is_enough(tmp_path: Path, url: str, says: str) -> None:
    session = session_at(tmp_path, url, "key")
    assert with_offers(session, shipped_prices(), TODAY) == shipped_prices()
    assert says in session.terminal.err.getvalue()  # type: ignore[attr-defined]
