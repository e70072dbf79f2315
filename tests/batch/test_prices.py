"""The shipped prices, the user's own over them, and rows that are wrong."""

import re
from datetime import date
from pathlib import Path

import pytest

from puna.batch.prices import BadPrices, PriceSource, load_prices, parse_prices, shipped_prices
from puna.units import Money, Size, Span

OWN = """
[here]
watts = 65
kwh = "0.30"
[[card]]
name = "RTX 4090 at RunPod"
memory = "24GiB"
hour = "0.50"
tick = "1m"
boot = "90s"
prompt = 9000
generate = 1000
parameters = 8.03e9
[[hosted]]
name = "mine"
input = "0.02"
output = "0.04"
"""
SOURCED = '[sources.me]\nabout = "a test"\ndate = 2026-11-01\n' + OWN.replace(
    "[[hosted]]", '[[hosted]]\nsource = "me"'
).replace("[[card]]", '[[card]]\nsource = "me"\nspeed = "me"')


def test_every_shipped_row_says_where_it_was_read() -> None:
    prices = shipped_prices()
    sources = [source for each in prices.cards for source in (each.source, each.speed.source)]
    sources += [each.source for each in prices.hosted]
    assert len(sources) > 20
    assert all(source.about for source in sources)


def test_a_row_of_the_user_replaces_the_row_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(OWN)
    prices = load_prices(file)
    card = next(each for each in prices.cards if each.name == "RTX 4090 at RunPod")
    assert (card.hour, card.tick, card.boot) == (500_000, Span.of(minutes=1), Span.of(seconds=90))
    assert card.source.about == "your price file prices.toml"
    assert [each.name for each in prices.hosted].count("mine") == 1
    assert len(prices.cards) == len(shipped_prices().cards)
    assert (prices.here.watts, prices.here.kwh) == (65, 300_000)


def test_without_a_file_the_shipped_list_counts() -> None:
    assert load_prices() == shipped_prices()


@pytest.mark.parametrize(
    ("day", "is_stale"),
    [(date(2026, 11, 1), False), (date(2026, 6, 1), True), (None, True)],
)
def test_what_is_older_than_sixty_days_is_stale(day: date | None, is_stale: bool) -> None:
    assert PriceSource("a page", day).is_stale(date(2026, 11, 24)) == is_stale


def test_a_list_has_what_its_rows_say() -> None:
    prices = parse_prices(SOURCED, "test")
    assert prices.cards[0].memory == Size.parse("24GiB")
    assert prices.hosted[0].input == Money.parse("0.02")
    assert prices.hosted[0].cached is None


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ("[[card]]", "[[card", "test cannot be read"),
        ("[[card]]", "[[cart]]", "test: unknown word cart"),
        (
            'hour = "0.50"',
            "hour = 0.5",
            "card 1 (RTX 4090 at RunPod): hour: 0.5 is not of the type",
        ),
        ('hour = "0.50"', 'hour = "half"', 'hour: "half" is not an amount of dollars'),
        ('hour = "0.50"', 'hour = "-1"', "hour: -$1.00 is below zero"),
        ('hour = "0.50"', 'ours = "0.50"', "unknown word ours"),
        ('memory = "24GiB"', "", "memory: missing"),
        ('memory = "24GiB"', 'memory = "24 apples"', "memory: size"),
        ('boot = "90s"', 'boot = "0s"', "boot: 0s is not above zero"),
        ("prompt = 9000", "prompt = 0", "prompt: 0 is not above zero"),
        ("prompt = 9000", "", "prompt: missing"),
        ('source = "me"', 'source = "rumour"', '"rumour" is none of the sources'),
        ('source = "me"', "", "source: missing"),
        ('name = "mine"', 'name = "mine"\nbatch = 120', "120 is more than 100 percent"),
        ("watts = 65", "watts = true", "watts: True is not above zero"),
        ("[here]", "[sources.you]", "unknown word kwh"),
    ],
)
def test_a_wrong_row_is_named(good: str, bad: str, why: str) -> None:
    with pytest.raises(BadPrices, match=re.escape(why)):
        parse_prices(SOURCED.replace(good, bad), "test")


def test_a_name_twice_is_wrong() -> None:
    hosted = '[[hosted]]\nsource = "me"\nname = "mine"\ninput = "1"\noutput = "1"\n'
    with pytest.raises(BadPrices, match='"mine" stands there twice'):
        parse_prices(SOURCED + hosted, "test")


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no text", "no file"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "prices.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadPrices, match=r"price file .*prices\.toml cannot be read"):
        load_prices(file)
