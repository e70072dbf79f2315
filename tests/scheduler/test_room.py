"""Who must go so that a model fits."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from puna.ids import EngineId, RequestId
from puna.models.fit_offload import CardShare
from puna.node.scheduler.room import Room, pick_victims
from puna.node.scheduler.state import EngineState, Resident
from puna.units import Size, Span
from tests.scheduler.stage import a_spec

NOW = Span(100)


def an_engine(
    number: int, *, memory: int = 4, idle_since: int = 0, used_at: int = 0, leases: int = 0
) -> Resident:
    return Resident(
        EngineId(number),
        labels=(f"model {number}",),
        spec=a_spec(f"model {number}", memory=memory),
        keep_alive=Span(1000),
        since=Span(0),
        state=EngineState.READY,
        idle_since=Span(idle_since),
        used_at=Span(used_at),
        leases=frozenset(RequestId(each) for each in range(leases)),
    )


OLD, NEW = an_engine(1, idle_since=10), an_engine(2, idle_since=20)
BIG = an_engine(3, memory=8, idle_since=30)
BUSY_OLD, BUSY_NEW = an_engine(4, leases=1, used_at=5), an_engine(5, leases=1, used_at=6)


@pytest.mark.parametrize(
    ("candidates", "free", "need", "victims"),
    [
        pytest.param([OLD, NEW], Room(Size(4), 1), 4, (), id="nobody where there is room"),
        pytest.param([NEW, OLD], Room(Size(0), 1), 4, (OLD,), id="the longest idle"),
        pytest.param([BUSY_OLD, NEW], Room(Size(0), 1), 4, (NEW,), id="an idle one before a busy"),
        pytest.param(
            [BUSY_NEW, BUSY_OLD], Room(Size(0), 1), 4, (BUSY_OLD,), id="least lately used"
        ),
        pytest.param([OLD, NEW], Room(Size(0), 1), 8, (OLD, NEW), id="as many as needed"),
        pytest.param([OLD, NEW, BIG], Room(Size(0), 1), 8, (OLD, NEW), id="in order of idleness"),
        pytest.param([OLD, BIG], Room(Size(0), 1), 8, (BIG,), id="nobody in vain"),
        pytest.param([OLD, NEW], Room(Size(9), 0), 1, (OLD,), id="one for its place"),
        pytest.param([OLD, NEW], Room(Size(0), 0), 9, None, id="nobody where it is not enough"),
    ],
)
def test_victims(
    candidates: Sequence[Resident], free: Room, need: int, victims: tuple[Resident, ...] | None
) -> None:
    assert pick_victims(candidates, free=free, need=Room(Size(need), 1), at=NOW) == victims


def on_card(number: int, card: str, size: int, *, idle_since: int = 0) -> Resident:
    engine = an_engine(number, memory=1, idle_since=idle_since)
    share = CardShare(card, 0, 1, Size(size))
    return replace(engine, spec=replace(engine.spec, shares=(share,)))


FIRST, SECOND = on_card(1, "CUDA0", 4, idle_since=10), on_card(2, "CUDA1", 4, idle_since=20)
THIRD = on_card(3, "CUDA1", 8, idle_since=30)


@pytest.mark.parametrize(
    ("free", "need", "victims"),
    [
        ({"CUDA0": 4, "CUDA1": 0}, {"CUDA0": 4}, ()),
        ({"CUDA0": 0, "CUDA1": 0}, {"CUDA0": 4}, (FIRST,)),
        ({"CUDA0": 0, "CUDA1": 0}, {"CUDA1": 4}, (SECOND,)),
        ({"CUDA0": 0, "CUDA1": 0}, {"CUDA1": 8}, (THIRD,)),
        ({"CUDA0": 0, "CUDA1": 0}, {"CUDA0": 4, "CUDA1": 12}, (FIRST, SECOND, THIRD)),
        ({"CUDA0": 0, "CUDA1": 0}, {"CUDA0": 5}, None),
        ({"CUDA0": 9}, {"CUDA7": 1}, None),
        ({"CUDA0": 0, "CUDA1": 0}, {}, ()),
    ],
    ids=str,
)
def test_only_what_is_on_the_card_makes_room_there(
    free: dict[str, int], need: dict[str, int], victims: tuple[Resident, ...] | None
) -> None:
    candidates = [FIRST, SECOND, THIRD]
    room, needed = Room(Size(9), 3, free), Room(Size(1), 1, need)

    assert pick_victims(candidates, free=room, need=needed, at=NOW) == victims


ENGINES = st.lists(
    st.builds(
        an_engine,
        st.integers(1, 10**6),
        memory=st.integers(0, 9),
        idle_since=st.integers(0, 99),
        leases=st.integers(0, 1),
    ),
    max_size=6,
    unique_by=lambda each: each.id,
)


@given(ENGINES, st.integers(-5, 20), st.integers(-1, 3), st.integers(0, 30))
def test_the_victims_are_enough_and_none_of_them_is_needless(
    engines: list[Resident], memory: int, places: int, needed: int
) -> None:
    free, need = Room(Size(memory), places), Room(Size(needed), 1)
    victims = pick_victims(engines, free=free, need=need, at=NOW)
    if victims is None:
        assert not (free + Room.of(engines)).holds(need)
        return
    assert (free + Room.of(victims)).holds(need)
    assert not any((free + Room.of(victims) - Room.of([each])).holds(need) for each in victims)
