"""Work beside the event loop's: calls that block, in a thread, and several tasks as one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import ParamSpec, TypeVar

from puna.errors import PunaError

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a call that blocks in a thread; if cancelled, wait for its end before passing it on."""
    task = asyncio.create_task(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def together(work: Sequence[Coroutine[object, object, None]]) -> None:
    """Do several things at once; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except* PunaError as errors:
        raise first_of(errors) from None


def first_of(errors: BaseExceptionGroup[PunaError]) -> PunaError:
    """Return the first of our errors in a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, PunaError):
        raise TypeError(f"{type(error).__name__} is none of ours")
    return error
