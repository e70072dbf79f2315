"""The books hold, nobody pays for nothing, and nothing runs twice, whatever happens.

32 lives here; `python -m tests.simulation.market_seeds 0 10000` lives through more.
"""

import pytest

from tests.simulation.market_life import live_through

A_TEST = 4


@pytest.mark.parametrize("first", range(0, 32, A_TEST))
async def test_the_market_lives_through_its_seeds(first: int) -> None:
    for seed in range(first, first + A_TEST):
        await live_through(seed)
