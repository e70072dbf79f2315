"""Lives through seeds by hand: `python -m tests.simulation.market_seeds 7`, or `0 10000` for many.

Seeds that fail are listed with their reason; the exit code says whether there were any.
"""

import argparse
import asyncio
import sys
import time
import traceback

from tests.simulation.market_life import TURNS, live_through

SHOWN_EACH = 100


async def live(seeds: range, turns: int) -> int:
    failed = 0
    began = time.monotonic()
    for seed in seeds:
        try:
            await live_through(seed, turns)
        except Exception:  # noqa: BLE001 - it is told, and the next is lived
            failed += 1
            print(f"seed {seed} failed:\n{traceback.format_exc(limit=-3)}", flush=True)  # noqa: T201
        if (seed + 1) % SHOWN_EACH == 0:
            print(f"{seed + 1 - seeds[0]} seeds, {failed} failed", flush=True)  # noqa: T201
    lasted = time.monotonic() - began
    print(f"{len(seeds)} seeds from {seeds[0]}, {failed} failed, {lasted:.0f} s")  # noqa: T201
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int, nargs="?")
    parser.add_argument("--turns", type=int, default=TURNS)
    told = parser.parse_args()
    seeds = range(told.first, told.end or told.first + 1)
    sys.exit(bool(asyncio.run(live(seeds, told.turns))))
