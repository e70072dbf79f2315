"""From a pod's order to its running container, against `podman run` of the same image. Needs root.

`python bench/pods.py [TIMES]`; by turns, medians, on a Podman of its own.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from puna.agent.containers import House
from puna.agent.deadman import MarketClock
from puna.agent.engine import Engine
from puna.agent.hands import Estate, Hands
from puna.agent.keeper import Keeper
from puna.agent.notebook import Kept
from puna.agent.volumes import Volumes, can_make_images
from puna.wire.agent import Orders, PodOrder
from puna.world import RealWorld
from tests.podman import IMAGE, Podman, a_podman, why_no_podman

LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def plain(podman: Podman, number: int) -> float:
    """Seconds of `podman run`."""
    began = time.perf_counter()
    podman.run("run", "--detach", *LIMITS, "--name", f"plain{number}", IMAGE, "sleep", "100")
    return time.perf_counter() - began


async def ordered(keeper: Keeper, number: int, volume: int) -> float:
    """Seconds from an order to a container that is seen running."""
    pod = f"p{number}"
    order = PodOrder(
        pod=pod, run=1, want="run", image=IMAGE, args="sleep 100", memory=64 * 10**6,
        volume=volume, volume_path="/workspace" if volume else "",
    )  # fmt: skip
    began = time.perf_counter()
    keeper.obey(Orders(version=pod, pods=[order]))
    while not any(each.container.pod == pod and each.is_running for each in keeper.shown):
        async with asyncio.TaskGroup() as group:
            await keeper.turn(group)
    took = time.perf_counter() - began
    keeper.obey(Orders(version="", pods=[order.model_copy(update={"want": "terminate"})]))
    for _ in range(6):
        async with asyncio.TaskGroup() as group:
            await keeper.turn(group)
    return took


async def compare(podman: Podman, times: int) -> None:
    """Print medians and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        async with Engine(podman.socket) as engine:
            await engine.make_network("puna")
            clock, house = MarketClock(RealWorld()), House(host="h", open_files=1024, processes=256)
            volumes = Volumes(engine, "h", Path(folder), has_images=can_make_images())
            hands = Hands(clock, engine, Estate(house=house), volumes)
            keeper = Keeper(engine, hands, clock, Kept(), trusts_local=True)
            rows: dict[str, list[float]] = {"podman run": [], "pod": [], "pod with a volume": []}
            for number in range(times):
                rows["podman run"].append(await asyncio.to_thread(plain, podman, number))
                rows["pod"].append(await ordered(keeper, 2 * number, 0))
                rows["pod with a volume"].append(await ordered(keeper, 2 * number + 1, 10**9))
    base = statistics.median(rows["podman run"])
    for name, seconds in rows.items():
        median = statistics.median(seconds)
        print(f"{name:20} {median:6.2f} s  {median / base:5.2f} x")


def main() -> None:
    """Run it, or say why not."""
    if reason := why_no_podman():
        print(f"skipped: {reason}")
        return
    with a_podman() as podman:
        asyncio.run(compare(podman, int(sys.argv[1]) if len(sys.argv) > 1 else 5))


if __name__ == "__main__":
    main()
