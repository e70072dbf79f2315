"""Downloads by parts from a source that a test scripts, in a time that the test owns."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from puna.errors import PunaError
from puna.fetcher import Stalled
from puna.library.blobs import DigestMismatch
from puna.library.disk import StoreFull
from puna.library.download import Streams, download
from puna.library.draft import Draft
from puna.library.sources.registry import NoRanges, RegistryRefused
from puna.library.store import ModelStore
from puna.models.digest import digest_of
from puna.models.manifest import Layer, MediaType
from puna.net import Unreachable
from puna.units import Size, Span
from tests.stores import blob_name, blob_names, leftovers
from tests.worlds import FakeWorld, becomes

CONTENT = os.urandom(100_000)
SMALL = Streams(count=4, smallest_part=10_000, largest_part=10_000)


def a_blob(content: bytes = CONTENT) -> Layer:
    return Layer(MediaType.MODEL, digest_of(content), Size(len(content)))


@dataclass
class Scripted:
    """Sends a blob; `trouble` may raise instead, told how often it was asked."""

    content: bytes = CONTENT
    trouble: Callable[[int, int], None] = field(default=lambda _begin, _times: None)
    piece: int = 3000
    brings: int = 10**9
    """Bytes that an answer brings before `after` is raised."""
    after: Exception | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def read(self, layer: Layer, begin: int, end: int) -> AsyncGenerator[bytes]:
        del layer
        self.asked.append((begin, end))
        self.trouble(begin, len(self.asked))
        stop = min(end, begin + self.brings)
        for at in range(begin, stop, self.piece):
            await asyncio.sleep(0)
            yield self.content[at : min(stop, at + self.piece)]
        if stop < end and self.after:
            raise self.after


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, FakeWorld())


@pytest.fixture
def draft(store: ModelStore) -> Iterator[Draft]:
    with store.draft() as draft:
        draft.keep(a_blob().digest, len(CONTENT))
        yield draft


async def fetched(
    source: Scripted, draft: Draft, *, streams: Streams = SMALL
) -> tuple[list[int], Span]:
    """Fetch the blob; return what was shown and how long it took in the world's time."""
    world = FakeWorld()
    shown: list[int] = []

    async def work() -> None:
        events = download([a_blob()], source, draft, streams=streams, world=world)
        async with aclosing(events):
            shown.extend([event.completed async for event in events])

    task = asyncio.create_task(work())
    while not task.done():
        await asyncio.sleep(0.001)
        await world.advance(Span.of(ms=60))
    await task
    return shown, world.elapsed()


async def test_parts_make_the_blob(store: ModelStore, draft: Draft) -> None:
    source = Scripted()
    shown, _ = await fetched(source, draft)
    assert store.blobs.path(a_blob().digest).read_bytes() == CONTENT
    assert sorted(source.asked) == [(at, at + 10_000) for at in range(0, 100_000, 10_000)]
    assert shown == sorted(shown)
    assert shown[-1] == len(CONTENT)


async def test_a_short_answer_keeps_what_it_brought(draft: Draft) -> None:
    source = Scripted(brings=7000, after=Unreachable("broke off"))
    await fetched(source, draft)
    assert (0, 10_000) in source.asked
    assert (7000, 10_000) in source.asked
    assert len(source.asked) >= 20


async def test_an_answer_that_ends_early_without_an_error_is_gone_on_with(draft: Draft) -> None:
    source = Scripted(brings=7000)
    await fetched(source, draft)
    assert len(source.asked) >= 20


async def test_who_answers_never_is_given_up_after_a_minute(draft: Draft) -> None:
    def refuse(_begin: int, _times: int) -> None:
        raise Unreachable("no")

    source = Scripted(trouble=refuse)
    one = Streams(count=1, smallest_part=100_000)
    with pytest.raises(Unreachable, match="no"):
        await fetched(source, draft, streams=one)
    assert len(source.asked) == 6


async def test_the_pause_between_attempts_grows(draft: Draft) -> None:
    def refuse_thrice(_begin: int, times: int) -> None:
        if times < 4:
            raise Unreachable("no")

    one = Streams(count=1, smallest_part=100_000)
    _, took = await fetched(Scripted(trouble=refuse_thrice), draft, streams=one)
    assert Span.of(seconds=3.5) <= took <= Span.of(seconds=11)


async def test_silence_is_no_attempt(draft: Draft) -> None:
    def stall_eight_times(_begin: int, times: int) -> None:
        if times < 9:
            raise Stalled("silent")

    one = Streams(count=1, smallest_part=100_000)
    shown, _ = await fetched(Scripted(trouble=stall_eight_times), draft, streams=one)
    assert shown[-1] == len(CONTENT)


@pytest.mark.parametrize(
    "error", [StoreFull("full"), RegistryRefused("gone")], ids=["full disk", "gone"]
)
async def test_what_no_attempt_mends_ends_at_once(draft: Draft, error: PunaError) -> None:
    def fail(begin: int, _times: int) -> None:
        if begin == 20_000:
            raise error

    source = Scripted(trouble=fail)
    with pytest.raises(type(error)):
        await fetched(source, draft)
    assert source.asked.count((20_000, 30_000)) == 1


async def test_what_was_fetched_before_an_error_is_not_fetched_again(draft: Draft) -> None:
    def fail(begin: int, _times: int) -> None:
        if begin == 90_000:
            raise RegistryRefused("gone")

    with pytest.raises(RegistryRefused):
        await fetched(Scripted(trouble=fail), draft)
    again = Scripted()
    await fetched(again, draft)
    assert sum(end - begin for begin, end in again.asked) < 60_000


async def test_other_content_is_refused_and_leaves_nothing(store: ModelStore, draft: Draft) -> None:
    with pytest.raises(DigestMismatch):
        await fetched(Scripted(content=bytes(len(CONTENT))), draft)
    assert blob_names(store.root) == set()


async def test_damage_of_an_earlier_attempt_is_mended_by_a_whole_new_one(
    store: ModelStore, draft: Draft
) -> None:
    def fail(begin: int, _times: int) -> None:
        if begin == 90_000:
            raise RegistryRefused("gone")

    with pytest.raises(RegistryRefused):
        await fetched(Scripted(trouble=fail), draft)
    partial = store.root / "blobs" / f"{blob_name(CONTENT)}-partial"
    with partial.open("r+b") as file:
        file.write(bytes(10))
    shown, _ = await fetched(Scripted(), draft)
    assert store.blobs.path(a_blob().digest).read_bytes() == CONTENT
    assert shown == sorted(shown)


async def test_without_ranges_the_blob_comes_whole(store: ModelStore, draft: Draft) -> None:
    def whole_only(begin: int, _times: int) -> None:
        if begin:
            raise NoRanges("whole blobs only")

    source = Scripted(trouble=whole_only)
    shown, _ = await fetched(source, draft)
    assert source.asked[-1] == (0, 100_000)
    assert store.blobs.path(a_blob().digest).read_bytes() == CONTENT
    assert shown == sorted(shown)


async def test_no_more_connections_than_asked_for(draft: Draft) -> None:
    busy = most = 0

    class Counting(Scripted):
        async def read(self, layer: Layer, begin: int, end: int) -> AsyncGenerator[bytes]:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            async for chunk in super().read(layer, begin, end):
                yield chunk
            busy -= 1

    await fetched(Counting(), draft)
    assert most == 4


@pytest.mark.parametrize(
    ("total", "size"),
    [(0, 8_000_000), (10**8, 8_000_000), (10**9, 15_625_000), (10**11, 64_000_000)],
)
def test_parts_are_short_enough_to_end_together(total: int, size: int) -> None:
    assert Streams().part_size(total) == size


async def test_who_stops_listening_stops_the_work(store: ModelStore, draft: Draft) -> None:
    source = Scripted(piece=10)
    events = download([a_blob()], source, draft, streams=SMALL, world=store._world)
    task = asyncio.create_task(anext(events))
    await becomes(lambda: source.asked)
    task.cancel()
    await asyncio.wait({task})
    await events.aclose()
    count = len(source.asked)
    await asyncio.sleep(0.01)
    assert len(source.asked) == count
    assert any("partial" in name for name in leftovers(store.root))
