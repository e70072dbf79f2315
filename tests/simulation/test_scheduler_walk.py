"""Every order of events, eight deep: never too much is promised, nobody is left waiting."""

import pytest

from puna.node.scheduler.state import Limits
from puna.units import Size, Span
from tests.scheduler.stage import a_spec, a_wanted
from tests.simulation.outside import Alphabet, Outside, quiet_end

DEPTH = 8
A, B = a_wanted(a_spec("a", memory=6)), a_wanted(a_spec("b", memory=6))
A_LONGER = a_wanted(a_spec("a", memory=8, context=8192))
A_ANY = a_wanted(a_spec("a", memory=6), auto=["context"])
SMALL = a_wanted(a_spec("small", memory=4, slots=2))
LIMITS = Limits(Size(10), max_queue=2, keep_alive=Span(7), load_timeout=Span(5), patience=Span(3))

WALKS = {
    "two models, room for one": Alphabet((A, B), are_alike=True),
    "one model with two ways to load it": Alphabet((A, A_LONGER), closes=False),
    "three models in turn, room for two": Alphabet((A, SMALL, B), in_turn=True, closes=False),
    "keep-alives and unloading": Alphabet(
        (A, A_ANY), keep_alives=(None, Span(0), Span(-1)), targets=("a",), requests=2, closes=False
    ),
    "memory that shrinks and grows": Alphabet((A, SMALL), memories=(Size(3), Size(10)), requests=2),
}


@pytest.mark.parametrize("alphabet", [pytest.param(WALKS[name], id=name) for name in WALKS])
def test_every_order_of_events(alphabet: Alphabet) -> None:
    met = {Outside.of(LIMITS)}
    edge, quiet = set(met), set[Outside]()
    for _ in range(DEPTH):
        edge = {world.after(event) for world in edge for event in world.possible(alphabet)} - met
        met |= edge
        for world in edge:
            quiet_end(world, quiet)
    assert len(met) > 1000
