"""The books hold, nobody pays for nothing, and nothing runs twice, whatever happens.

200 short lives here; `python -m tests.simulation.market_seeds 0 10000` lives through more, longer.
"""

import pytest

from tests.simulation.market_life import live_through

SEEDS, AT_ONCE = 200, 10
SHORT = 2


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
async def test_the_market_lives_through_its_seeds(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        await live_through(seed, SHORT)
