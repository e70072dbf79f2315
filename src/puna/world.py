"""The only clock, dice and source of ids, passed in: a test owns its time and its chance."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from puna.units import Span


class World(Protocol):
    """Time and chance. Decisions take `now` as an argument; only those who act hold a World."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC. It can jump; never measure a span with it."""

    def elapsed(self) -> Span:
        """Time since an arbitrary start; it never goes back."""

    async def wait(self, span: Span) -> None:
        """Return after `span`."""

    def token(self) -> str:
        """Return 32 hexadecimal digits that nobody can guess."""

    def seed(self) -> int:
        """Return a number of 31 bits, for a sampler."""


def _since_boot() -> int:
    if _BOOT_CLOCK is None:
        return time.monotonic_ns()
    return time.clock_gettime_ns(_BOOT_CLOCK)


_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class RealWorld:
    """The world outside: the system's clocks and its source of randomness."""

    def now(self) -> datetime:
        """Return the system's time of day."""
        return datetime.now(UTC)

    def elapsed(self) -> Span:
        """Return the system's monotonic clock, which counts while a machine sleeps if it can."""
        return Span(_since_boot())

    async def wait(self, span: Span) -> None:
        """Sleep on the event loop."""
        import asyncio  # noqa: PLC0415 - 60 ms to import; the command line needs only the clock

        await asyncio.sleep(max(0, span) / 1e9)

    def token(self) -> str:
        """Return a token from the system's randomness."""
        return os.urandom(16).hex()

    def seed(self) -> int:
        """Return a number from the system's randomness."""
        return int.from_bytes(os.urandom(4)) >> 1


_STEP = Span.of(ms=10)


def wait_until(is_done: Callable[[], bool], *, limit: Span, step: Span = _STEP) -> bool:
    """Block the thread until `is_done()` or until `limit` has passed; tell which.

    For the command line only.
    """
    end = time.monotonic_ns() + limit
    while not is_done():
        if time.monotonic_ns() >= end:
            return False
        time.sleep(step / 1e9)
    return True
