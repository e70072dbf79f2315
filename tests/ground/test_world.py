"""The real world keeps its promises."""

from puna.units import Span
from puna.world import RealWorld, wait_until


def test_time_of_day_is_aware() -> None:
    assert RealWorld().now().utcoffset() is not None


def test_tokens_are_long_and_differ() -> None:
    tokens = {RealWorld().token() for _ in range(100)}
    assert {len(token) for token in tokens} == {32}
    assert len(tokens) == 100


def test_a_seed_fits_31_bits() -> None:
    assert all(0 <= RealWorld().seed() < 2**31 for _ in range(100))


async def test_waiting_takes_time() -> None:
    world = RealWorld()
    before = world.elapsed()
    await world.wait(Span.of(ms=2))
    assert world.elapsed() - before >= Span.of(ms=1)


def test_waiting_for_what_never_comes_ends() -> None:
    assert not wait_until(lambda: False, limit=Span.of(ms=3), step=Span.of(ms=1))


def test_waiting_for_what_is_there_does_not_wait() -> None:
    assert wait_until(lambda: True, limit=Span(0))
