"""A market that orders more than is lent is not obeyed."""

from pathlib import Path

import pytest

from puna.agent.lent import Lot, why_too_much
from puna.agent.orders import told_by_pod
from puna.units import Size
from puna.wire.agent import MachineReport, PodOrder
from tests.agent.hosts import a_host, an_order

GB = 10**9
LENT = Lot(processors=4, memory=Size(8 * GB), disk=Size(100 * GB))


def an(pod: str, **changes: object) -> PodOrder:
    return an_order(pod, processors=2, memory=4 * GB, disk=50 * GB).model_copy(update=changes)


def why(pod: str, *orders: PodOrder, there: frozenset[str] = frozenset()) -> str:
    return why_too_much(told_by_pod(orders), pod, there, LENT)


def test_what_fits_is_made() -> None:
    assert why("a", an("a"), an("b")) == why("b", an("a"), an("b")) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processors": 5}, "5 processors are ordered and 4 are lent"),
        ({"memory": 9 * GB}, "9 GB of memory are ordered and 8 GB are lent"),
        ({"disk": 60 * GB, "volume": 41 * GB}, "101 GB of disk are ordered and 100 GB are lent"),
    ],
)
def test_more_than_all_that_is_lent_is_refused(changes: dict[str, object], said: str) -> None:
    assert why("a", an("a", **changes)) == said


def test_of_two_that_do_not_fit_together_one_does() -> None:
    both = (an("a", processors=3), an("b", processors=3))
    assert (why("a", *both), bool(why("b", *both))) == ("", True)


def test_one_that_is_there_comes_first() -> None:
    both = (an("a", processors=3), an("b", processors=3))
    there = frozenset({"b"})
    assert (bool(why("a", *both, there=there)), why("b", *both, there=there)) == (True, "")


def test_one_that_leaves_takes_nothing_but_its_volume() -> None:
    leaving = an("a", want="stop", processors=4, volume=60 * GB)
    assert why("b", leaving, an("b", disk=40 * GB)) == ""
    assert "of disk" in why("b", leaving, an("b", disk=41 * GB))


def test_where_nobody_said_what_is_lent_everything_fits() -> None:
    assert why_too_much(told_by_pod([an("a", processors=99)]), "a", (), None) == ""


def test_what_is_lent_is_what_was_offered() -> None:
    assert Lot.of(MachineReport(processors=4, memory=8 * GB, disk=100 * GB)) == LENT


async def test_a_pod_that_is_too_much_is_given_up_and_nothing_is_made(tmp_path: Path) -> None:
    async with a_host(tmp_path, lent=LENT) as host:
        host.order(an("p1", memory=9 * GB))
        await host.turns(4)
        assert (await host.report()).reason == "9 GB of memory are ordered and 8 GB are lent"
        assert host.there.of("p1") == []
