"""Long stories of many models, drawn by hypothesis: the same promises as in the exhaustive walk."""

from hypothesis import given, settings, strategies as st

from puna.node.scheduler.state import Limits, Wanted
from puna.units import Size, Span
from tests.scheduler.stage import a_spec, a_wanted
from tests.simulation.outside import Alphabet, Outside, quiet_end

WANTED = st.builds(
    lambda name, memory, slots, context, auto: a_wanted(
        a_spec(name, memory=memory, slots=slots, context=context), auto=auto
    ),
    st.sampled_from("abcdef"),
    st.integers(0, 12),
    st.integers(1, 3),
    st.sampled_from([2048, 4096]),
    st.sampled_from([(), ("context",)]),
)
LIMITS = st.builds(
    Limits,
    st.builds(Size, st.integers(1, 30)),
    max_loaded=st.integers(0, 4),
    max_queue=st.integers(0, 6),
    keep_alive=st.sampled_from([Span(0), Span(9), Span(-1)]),
    load_timeout=st.sampled_from([Span(0), Span(4)]),
    patience=st.sampled_from([Span(0), Span(3)]),
)


@settings(max_examples=150)
@given(LIMITS, st.lists(WANTED, min_size=1, max_size=6), st.data())
def test_whatever_happens_is_answered_once_and_never_takes_too_much(
    limits: Limits, wanted: list[Wanted], data: st.DataObject
) -> None:
    alphabet = Alphabet(
        tuple(wanted),
        keep_alives=(None, Span(0), Span(2)),
        targets=("a", "b"),
        memories=data.draw(st.sampled_from([(), (Size(5), limits.memory)]), label="memories"),
        requests=25,
        closes=data.draw(st.booleans(), label="closes"),
    )
    world = Outside.of(limits)
    for _ in range(data.draw(st.integers(1, 60), label="steps")):
        world = world.after(data.draw(st.sampled_from([*world.possible(alphabet)])))
        world.check_settled()
    quiet_end(world, set())
