"""Wait for a child to load, and stop one that fills the memory instead.

llama.cpp tries a model's chat template while it loads it. A template comes with the model, from
whoever made that, and can make text without an end: gigabytes in seconds, on a machine where other
models work. How much a load takes is planned before, so what takes far more is no load.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

import psutil

from puna.node.engine.engine import LoadFailed
from puna.node.engine.request import LoadSpec
from puna.units import Size

_LOOK_S = 0.5
_SPARE = Size(2 * 2**30)
"""What a load may take beyond twice its plan: weights are held twice while they are rearranged."""


class Loading(Protocol):
    """A child that loads."""

    @property
    def pid(self) -> int:
        """The process's number."""

    async def ready(self) -> Mapping[str, object]:
        """Return the report on the load; may be asked again after it was cancelled."""

    async def stop(self) -> None:
        """End the process."""


async def loaded(
    child: Loading, spec: LoadSpec, *, spare: Size = _SPARE, look_s: float = _LOOK_S
) -> Mapping[str, object]:
    """Return the child's report on its load. Raises `LoadFailed` for one that had to be stopped."""
    # What goes to a card passes through memory, and stays mapped while it does.
    limit = 2 * (spec.memory + sum(each.memory for each in spec.shares)) + spare
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(look_s):
                return await child.ready()
        held = _held(child.pid)
        if held > limit:
            await child.stop()
            raise LoadFailed(
                f"{spec.weights.name} took {held} while it loaded, and needs {spec.memory}:"
                " it was stopped",
                hint="its chat template may have no end; use another file of this model",
            )


def _held(pid: int) -> Size:
    try:
        return Size(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return Size(0)
