"""Fetch the blobs of a model: several at once, each in parts, over a few connections together.

The order of work is simple: every part of every blob waits for one of the connections, in order.
What goes wrong on the way is told apart by what helps. A connection that breaks keeps what it
brought and is made again, at once if it brought something, else after a pause that grows. One that
is silent for half a minute is dropped, and that counts as no attempt. A full disk, a wrong size and
a wrong digest end everything at once, since no attempt can mend them.

A blob is hashed while it arrives, as far as it is there without a gap, so that little is left to
do at the end. What arrived stays on disk when the work ends early, and is not fetched again.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from puna.errors import Unavailable
from puna.fetcher import Stalled
from puna.library.blobs import DigestMismatch
from puna.library.draft import Draft
from puna.library.partial import Part, Partial
from puna.library.sources.patience import pause_before
from puna.library.sources.registry import NoRanges
from puna.library.threads import in_thread, together
from puna.models.manifest import Layer
from puna.progress import Transfer
from puna.units import Size, Span
from puna.world import World

_TICK = Span.of(ms=60)
_TRIES = 6
_MOST_STALLS = 10
_FAIR = 1 << 16
"""A connection that brought so much before it broke has not failed."""
_BATCH = 1 << 20
"""Bytes that are written, and written down, together."""
_MOST_OPEN = 16
"""Blobs under way at once: a model of a thousand tensors must not use up all open files."""
_MB = 10**6


class Source(Protocol):
    """Where blobs come from."""

    def read(self, layer: Layer, begin: int, end: int) -> AsyncGenerator[bytes]:
        """Yield the bytes of a blob from `begin` to `end`; it may end early."""


@dataclass(frozen=True, slots=True)
class Streams:
    """How the work is divided."""

    count: int = 8
    smallest_part: int = 8 * _MB
    largest_part: int = 64 * _MB

    def part_size(self, total: int) -> int:
        """Return the length of a part: short, so that all connections end together."""
        return max(self.smallest_part, min(self.largest_part, total // 64))


async def download(
    layers: Sequence[Layer], source: Source, draft: Draft, *, streams: Streams, world: World
) -> AsyncGenerator[Transfer]:
    """Fetch blobs into a draft that has claimed them, and tell how far each is.

    Closing the iterator stops at once. Raises `StoreFull` and its kin, `DigestMismatch`, what the
    source raises, and `Unavailable` once it has given up trying.
    """
    blobs = [Arrival(layer, source, draft, streams, world) for layer in layers]
    free = asyncio.Semaphore(streams.count)
    work = asyncio.create_task(_fetch_all(blobs, free))
    shown: dict[str, int] = {}
    try:
        while not work.done():
            tick = asyncio.create_task(world.wait(_TICK))
            await asyncio.wait({work, tick}, return_when=asyncio.FIRST_COMPLETED)
            tick.cancel()
            for blob in blobs:
                completed = max(blob.completed, shown.get(blob.layer.digest, 0))
                if blob.has_begun and shown.get(blob.layer.digest) != completed:
                    shown[blob.layer.digest] = completed
                    yield transfer(blob.layer, "pulling", Size(completed))
        await work
    finally:
        work.cancel()
        await asyncio.wait({work})


def transfer(layer: Layer, verb: str, completed: Size) -> Transfer:
    """Return the event that says how far a blob is, in Ollama's words."""
    return Transfer(f"{verb} {layer.digest.short}", layer.digest, layer.size, completed)


async def _fetch_all(blobs: "list[Arrival]", free: asyncio.Semaphore) -> None:
    open_files = asyncio.Semaphore(_MOST_OPEN)

    async def fetch(blob: Arrival) -> None:
        async with open_files:
            await blob.fetch(free)

    await together([fetch(blob) for blob in blobs])


class Arrival:
    """One blob on its way."""

    def __init__(
        self, layer: Layer, source: Source, draft: Draft, streams: Streams, world: World
    ) -> None:
        self.layer = layer
        self.completed = Size(0)
        self.has_begun = False
        self._source = source
        self._draft = draft
        self._part_size = streams.part_size(layer.size)
        self._world = world

    async def fetch(self, free: asyncio.Semaphore) -> None:
        """Bring the blob here, or wait for who else does."""
        partial = await self._take()
        if partial is None:
            return
        try:
            await self._bring(partial, free)
        finally:
            await in_thread(partial.close)

    async def _take(self) -> Partial | None:
        """Return the blob once it is ours to fetch; nothing once it is here."""
        while True:
            partial = await in_thread(self._draft.partial, self.layer)
            if self._draft.is_here(self.layer):
                if partial:
                    await in_thread(partial.discard)
                    await in_thread(partial.close)
                self._tell(self.layer.size)
                return None
            if partial:
                return partial
            self._tell(await in_thread(self._draft.arrived, self.layer))
            await self._world.wait(Span.of(ms=100))

    async def _bring(self, partial: Partial, free: asyncio.Semaphore) -> None:
        await in_thread(partial.plan, self._part_size)
        was_begun = partial.was_begun
        try:
            await self._bring_parts(partial, free)
            await in_thread(self._draft.finish, partial)
        except DigestMismatch:
            if not was_begun:
                raise
            # An earlier process counted bytes that never reached the disk: once more, from nothing.
            again = await self._take()
            if again is None:
                return
            try:
                await in_thread(again.start_over, self._part_size)
                await self._bring_parts(again, free)
                await in_thread(self._draft.finish, again)
            finally:
                await in_thread(again.close)

    async def _bring_parts(self, partial: Partial, free: asyncio.Semaphore) -> None:
        self._tell(partial.completed)
        for _ in range(_TRIES):
            try:
                await self._bring_and_hash(partial, free)
            except NoRanges:
                await in_thread(partial.start_over, self.layer.size)
            else:
                return
        raise Unavailable(
            f"blob {self.layer.digest}: the server sends it whole or not at all, and breaks off"
        )

    async def _bring_and_hash(self, partial: Partial, free: asyncio.Semaphore) -> None:
        hashing = asyncio.create_task(self._hash(partial))
        try:
            await together([self._bring_part(partial, part, free) for part in partial.parts])
        finally:
            hashing.cancel()
            await asyncio.wait({hashing})
            if not hashing.cancelled():
                hashing.exception()  # to finish meets the same error, and raises it

    async def _hash(self, partial: Partial) -> None:
        """Hash what has arrived, while the rest does."""
        while not await in_thread(partial.hash_arrived):
            await self._world.wait(Span.of(ms=50))

    async def _bring_part(self, partial: Partial, part: Part, free: asyncio.Semaphore) -> None:
        tries = stalls = 0
        while not part.is_whole:
            before, pause = part.completed, Span(0)
            try:
                async with free:
                    await self._stream(partial, part)
            except Stalled:
                stalls = 0 if part.completed - before >= _FAIR else stalls + 1
                if stalls >= _MOST_STALLS:
                    raise
            except Unavailable as error:
                is_fair = part.completed - before >= _FAIR or part.is_whole
                tries = 0 if is_fair else tries + 1
                if tries >= _TRIES:
                    raise
                pause = max(self._pause(tries), pause_before(0, error, self._world))
            else:
                tries = 0 if part.completed > before else tries + 1
                pause = self._pause(tries)
                if tries >= _TRIES:
                    raise Unavailable(f"blob {self.layer.digest}: the server sends nothing of it")
            await self._world.wait(pause)

    def _pause(self, tries: int) -> Span:
        """Return how long to wait before the next attempt: 1, 2, 4, 8, 16 s, give or take half."""
        if not tries:
            return Span(0)
        share = 0.5 + self._world.seed() / 2**31
        return Span.of(seconds=2 ** (tries - 1) * share)

    async def _stream(self, partial: Partial, part: Part) -> None:
        """Read one answer into a part; what was read before an error is kept."""
        waiting: list[bytes] = []
        size = 0
        try:
            async with aclosing(self._source.read(self.layer, part.next, part.end)) as chunks:
                async for chunk in chunks:
                    waiting.append(chunk)
                    size += len(chunk)
                    if size >= _BATCH:
                        await self._write(partial, part, waiting)
                        waiting, size = [], 0
        finally:
            if waiting:
                await self._write(partial, part, waiting)

    async def _write(self, partial: Partial, part: Part, chunks: list[bytes]) -> None:
        before = part.completed
        await in_thread(partial.write, part, chunks)
        self._tell(Size(self.completed + part.completed - before))

    def _tell(self, completed: int) -> None:
        self.completed = Size(completed)
        self.has_begun = True
