"""Lives through seeds by hand: `python -m tests.simulation.market_seeds 7`, or `0 10000` for many.

Seeds that fail are listed with their reason; the exit code says whether there were any.
"""

import asyncio
import sys
import time
import traceback

from tests.simulation.market_life import live_through


async def live(first: int, end: int) -> int:
    failed = 0
    began = time.monotonic()
    for seed in range(first, end):
        try:
            await live_through(seed)
        except Exception:  # noqa: BLE001 - it is told, and the next is lived
            failed += 1
            print(f"seed {seed} failed:\n{traceback.format_exc(limit=-3)}", flush=True)  # noqa: T201
    lasted = time.monotonic() - began
    print(f"{end - first} seeds from {first}, {failed} failed, {lasted:.0f} s")  # noqa: T201
    return failed


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    sys.exit(bool(asyncio.run(live(numbers[0], numbers[1] if numbers[1:] else numbers[0] + 1))))
