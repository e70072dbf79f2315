"""How many connections there may be, and whose makes room."""

import asyncio
from typing import cast

import pytest

from puna.errors import PunaError
from puna.market.gateway.bounds import Bounds, as_files_allow
from puna.market.gateway.crowd import Crowd, address_of
from puna.market.settings import load_market_settings


class Line:
    """A connection from an address."""

    def __init__(self, address: str = "9.9.9.9") -> None:
        self.address = address
        self.said = b""
        self.is_open = True

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return (self.address, 1) if name == "peername" and self.address else None

    def write(self, data: bytes) -> None:
        self.said += data

    def close(self) -> None:
        self.is_open = False

    abort = close


def lines(count: int, address: str = "9.9.9.9") -> list[asyncio.Transport]:
    return [cast("asyncio.Transport", Line(address)) for _ in range(count)]


def are_open(several: list[asyncio.Transport]) -> list[bool]:
    return [cast("Line", each).is_open for each in several]


def crowd(most: int = 3, from_one: int = 0) -> Crowd:
    return Crowd(Bounds(most_clients=most, most_from_one=from_one))


def test_whoever_has_asked_for_nothing_for_longest_makes_room() -> None:
    full, several = crowd(), lines(5)
    assert [full.enter(each) for each in several] == [True] * 5
    assert are_open(several) == [False, False, True, True, True]
    assert len(full) == 3


def test_who_is_answered_is_ended_for_nobody() -> None:
    full, several = crowd(), lines(5)
    for each in several[:3]:
        full.enter(each)
        full.work(each)
    full.rest(several[1])
    assert [full.enter(each) for each in several[3:]] == [True, True]
    assert are_open(several) == [True, False, True, False, True]


def test_who_finds_no_room_is_told_to_come_back() -> None:
    full, (one, two) = crowd(1), lines(2)
    full.enter(one)
    full.work(one)
    assert not full.enter(two)
    assert cast("Line", two).said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in cast("Line", two).said
    assert are_open([one, two]) == [True, False]
    full.leave(one)
    assert full.enter(lines(1)[0])


def test_one_address_takes_nothing_from_others() -> None:
    full, flood, other = crowd(100, from_one=2), lines(20), lines(2, "8.8.8.8")
    for each in [*other, *flood]:
        full.enter(each)
    assert are_open(other) == [True, True]
    assert are_open(flood) == [False] * 18 + [True, True]


def test_an_address_whose_connections_all_work_gets_no_more() -> None:
    full, (one, two) = crowd(100, from_one=1), lines(2)
    full.enter(one)
    full.work(one)
    assert not full.enter(two)
    assert full.enter(lines(1, "8.8.8.8")[0])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_a_proxy_on_this_machine_speaks_for_everybody(address: str) -> None:
    full, several = crowd(100, from_one=2), lines(20, address)
    assert all(full.enter(each) for each in several)
    assert are_open(several) == [True] * 20


def test_one_that_comes_back_from_a_pod_is_counted_once() -> None:
    full, (one,) = crowd(), lines(1)
    full.enter(one)
    full.work(one)
    assert full.enter(one)
    assert len(full) == 1
    for _ in range(2):
        full.leave(one)
    assert len(full) == 0
    full.work(one)
    full.rest(one)
    assert full.enter(lines(1)[0])
    assert len(full) == 1


def test_an_address_is_what_the_network_knows() -> None:
    assert [address_of(each) for each in (*lines(1), *lines(1, ""))] == ["9.9.9.9", ""]


@pytest.mark.parametrize(
    ("wanted", "files", "most"), [(10_000, 2**20, 10_000), (10_000, 1024, 768), (5, 1, 1)]
)
def test_there_are_no_more_clients_than_files(wanted: int, files: int, most: int) -> None:
    assert as_files_allow(wanted, files) == most


def test_a_market_that_lets_nobody_in_is_refused() -> None:
    with pytest.raises(PunaError, match="lets nobody in"):
        load_market_settings({"PUNA_MARKET_MOST_CLIENTS": "0"})
