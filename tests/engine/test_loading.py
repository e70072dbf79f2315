"""A load that takes far more memory than was planned is stopped."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from puna.node.engine.engine import LoadFailed
from puna.node.engine.loading import loaded
from puna.node.engine.request import LoadSpec
from puna.units import Size

LITTLE = LoadSpec(Path("/m/bomb.gguf"), context=256, slots=1, memory=Size(1), batch=64)
MUCH = LoadSpec(Path("/m/good.gguf"), context=256, slots=1, memory=Size(2**40), batch=64)


class Child:
    """A child whose memory is this process's, and which takes its time to load."""

    pid = os.getpid()

    def __init__(self, *, turns: int = 10**9) -> None:
        self.is_stopped = False
        self._turns = turns

    async def ready(self) -> Mapping[str, object]:
        while self._turns:
            self._turns -= 1
            await asyncio.sleep(0)
        return {"ready": "here"}

    async def stop(self) -> None:
        self.is_stopped = True


async def test_a_load_that_fills_the_memory_is_stopped() -> None:
    child = Child()
    with pytest.raises(LoadFailed, match=r"bomb\.gguf took .* while it loaded, and needs 1 B"):
        await loaded(child, LITTLE, spare=Size(1), look_s=0.01)
    assert child.is_stopped


@pytest.mark.parametrize("turns", [0, 5000])
async def test_a_load_within_its_plan_takes_the_time_that_it_needs(turns: int) -> None:
    child = Child(turns=turns)
    assert await loaded(child, MUCH, look_s=0.001) == {"ready": "here"}
    assert not child.is_stopped


async def test_a_process_that_is_gone_is_waited_for() -> None:
    child = Child(turns=2000)
    child.pid = 2**22 + 1
    assert await loaded(child, LITTLE, spare=Size(1), look_s=0.001) == {"ready": "here"}
