"""What all models together may take, while engines come and go."""

from dataclasses import replace
from pathlib import Path

from puna.node.headroom import Headroom
from puna.node.scheduler.state import EngineState, Running
from puna.units import Size
from tests.scheduler.stage import a_spec, some_facts

GB = 1_000_000_000


def an_engine(*, memory: int | None) -> Running:
    """Return an engine that is loaded and takes `memory`, or one that is being loaded."""
    spec = replace(a_spec(), weights=Path("/nowhere"))
    facts = None if memory is None else replace(some_facts(spec), memory=Size(memory))
    state = EngineState.LOADING if memory is None else EngineState.READY
    return Running(("a",), spec, facts, state, in_use=0, expires_at=None)


def test_what_engines_hold_can_be_had_as_well_as_what_is_free() -> None:
    headroom = Headroom(lambda: Size(3 * GB))
    assert headroom.beside([]) == 3 * GB
    assert headroom.beside([an_engine(memory=2 * GB)]) == 5 * GB


def test_a_load_under_way_takes_nothing_away() -> None:
    free = [Size(5 * GB)]
    headroom = Headroom(lambda: free[-1])
    headroom.beside([])
    free.append(Size(2 * GB))
    assert headroom.beside([an_engine(memory=None)]) == 5 * GB
    assert headroom.beside([an_engine(memory=3 * GB)]) == 5 * GB


def test_a_file_that_is_mapped_counts_as_free_already(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(bytes(1000))
    engine = an_engine(memory=1500)
    mapped = replace(engine, spec=replace(engine.spec, weights=weights))
    assert Headroom(lambda: Size(10_000)).beside([mapped]) == 10_500
