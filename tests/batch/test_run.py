"""Computing the shards: workers that vanish, hang, lie and fall over cost nothing but time."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from puna.batch.events import Finished, Remark
from puna.batch.manifest import Order
from puna.batch.run import OtherModel, WrongCount
from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, PromptTask, Spec
from puna.batch.workers.worker import Answer, Identity, WorkerComing, WorkerGone, WorkerLost
from puna.errors import Failed
from puna.units import Span
from puna.world import RealWorld
from tests.batch.stage import (
    EchoWorker,
    FickleWorker,
    an_order,
    folder_of,
    records,
    run,
    write_csv,
)

WORDS = [f"word {n}" for n in range(70)]


@pytest.fixture
def order(tmp_path: Path) -> Order:
    source = write_csv(tmp_path / "rows.csv", WORDS)
    return an_order(source, tmp_path / "out.jsonl", task=PromptTask())


def content(order: Order) -> bytes:
    return Path(order.output).read_bytes()


async def unbroken(order: Order, home: Path) -> bytes:
    await run(order, home=home / "unbroken", anew=True)
    return content(order)


async def test_a_worker_that_falls_over_gets_the_same_shards_again(
    order: Order, tmp_path: Path
) -> None:
    worker = FickleWorker(lambda _, turn: turn in {0, 2, 3})
    events = await run(order, worker, home=tmp_path)
    remarks = [each.text for each in events if isinstance(each, Remark)]
    assert remarks[0] == "fickle: it fell over; its shards wait"
    assert content(order) == await unbroken(order, tmp_path)


class Hasty(RealWorld):
    """A world in which waiting takes no time."""

    async def wait(self, span: Span) -> None:
        await asyncio.sleep(min(span.seconds, 0.001))


async def test_the_shards_of_a_lost_worker_go_to_another(order: Order, tmp_path: Path) -> None:
    lost = FickleWorker(lambda _, turn: turn >= 1)
    other = EchoWorker("other")
    await run(order, lost, other, home=tmp_path, world=Hasty())
    assert content(order) == await unbroken(order, tmp_path)
    assert {shard.number for shard in other.asked} >= {2, 3, 4}


async def test_a_row_that_takes_workers_down_is_refused_and_no_other(
    order: Order, tmp_path: Path
) -> None:
    worker = FickleWorker(lambda shard, _: "word 17" in shard.texts)
    await run(order, worker, home=tmp_path)
    found = records(Path(order.output))
    assert [row["text"] for row in found if row["answer"] is None] == ["word 17"]
    (bad,) = records(tmp_path / "out.jsonl.bad.jsonl")
    assert bad["row"] == 18
    assert bad["reason"] == "the model ended 2 times at it: it fell over"


async def test_a_worker_that_always_falls_over_makes_no_row_bad(
    order: Order, tmp_path: Path
) -> None:
    sick = FickleWorker(lambda _, turn: turn >= 1)
    with pytest.raises(WorkerGone):
        await run(order, sick, home=tmp_path, world=Racing())
    await run(order, EchoWorker(), home=tmp_path)
    assert content(order) == await unbroken(order, tmp_path)


class HangingWorker(EchoWorker):
    """Takes a shard and never answers."""

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        self.asked.append(shard)
        await asyncio.get_running_loop().create_future()
        return []


class Racing(RealWorld):
    """A world in which a minute passes at each look at the clock."""

    def __init__(self) -> None:
        self._minutes = 0

    def elapsed(self) -> Span:
        self._minutes += 1
        return Span.of(minutes=self._minutes)

    async def wait(self, span: Span) -> None:
        del span
        await asyncio.sleep(0.001)


async def test_a_shard_that_hangs_is_computed_by_an_idle_worker(
    order: Order, tmp_path: Path
) -> None:
    hanging = HangingWorker("hanging")
    await run(order, hanging, EchoWorker(), home=tmp_path, world=Racing())
    assert len(hanging.asked) == 1
    assert content(order) == await unbroken(order, tmp_path)


class ShortWorker(EchoWorker):
    """Forgets the last row."""

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        return (await super().compute(shard))[:-1]


async def test_a_worker_that_leaves_rows_out_ends_the_job(order: Order, tmp_path: Path) -> None:
    with pytest.raises(WrongCount, match="echo gave 15 answers for 16 rows"):
        await run(order, ShortWorker(), home=tmp_path)
    assert not (tmp_path / "out.jsonl").exists()


class BrokenWorker(EchoWorker):
    """Fails with what is no fault of the worker."""

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        del shard
        raise Failed("the model is gone")


async def test_other_errors_end_the_job_and_it_can_go_on(order: Order, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="the model is gone"):
        await run(order, BrokenWorker(), home=tmp_path)
    await run(order, EchoWorker(), home=tmp_path)
    assert len(records(Path(order.output))) == 70


async def test_a_worker_with_another_model_is_refused(order: Order, tmp_path: Path) -> None:
    other = EchoWorker("other", identity=Identity("1" * 64, "test 1"))
    slow = HangingWorker("slow")
    with pytest.raises(OtherModel, match="other has another model: 111111111111, not 000"):
        await run(order, slow, other, home=tmp_path)


async def test_all_workers_get_the_way_of_computing_that_the_first_chose(
    order: Order, tmp_path: Path
) -> None:
    second = EchoWorker("second")
    await run(order, HangingAtFirst("first"), second, home=tmp_path)
    assert {spec.path for spec in second.specs} == {"float"}


class HangingAtFirst(EchoWorker):
    """Lets the others begin before it answers."""

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        for _ in range(20):
            await asyncio.sleep(0)
        return await super().compute(shard)


class AwayWorker(EchoWorker):
    """Is not there at its first two calls."""

    def __init__(self) -> None:
        super().__init__("away")
        self.tries = 0

    async def prepare(self, spec: Spec) -> Identity:
        self.tries += 1
        if self.tries in {2, 3}:
            raise WorkerGone("nobody answers", retry_after_s=0)
        return await super().prepare(spec)


class AwayOnce(AwayWorker):
    """Falls over once, and is then away for a while."""

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        if self.tries == 1:
            raise WorkerGone("it fell over", retry_after_s=0)
        return await super().compute(shard)


async def test_a_worker_may_be_away_for_a_while(order: Order, tmp_path: Path) -> None:
    worker = AwayOnce()
    await run(order, worker, home=tmp_path, world=Hasty())
    assert worker.tries == 4
    assert len(records(Path(order.output))) == 70


async def test_a_worker_gets_as_many_shards_as_it_has_places(order: Order, tmp_path: Path) -> None:
    worker = Crowded("crowded", places=3)
    await run(order, worker, home=tmp_path)
    assert worker.most == 3


class Crowded(EchoWorker):
    """Answers nothing before all its places are taken, and counts how many were at most."""

    def __init__(self, name: str, *, places: int) -> None:
        super().__init__(name, places=places)
        self.now = self.most = 0
        self.is_full = asyncio.Event()

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == self.places:
            self.is_full.set()
        await self.is_full.wait()
        self.now -= 1
        return await super().compute(shard)


async def test_shards_of_each_task_are_fixed(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", [f"{n:04}" for n in range(300)])
    order = an_order(source, tmp_path / "out.parquet", task=EmbedTask())
    worker = EchoWorker()
    (*_, end) = await run(order, worker, home=tmp_path)
    assert isinstance(end, Finished)
    assert [(each.first, len(each.texts), each.batch) for each in worker.asked] == [
        (0, 256, 64),
        (256, 44, 64),
    ]
    timeline = records(folder_of(order, tmp_path).folder / "timeline.jsonl")
    assert [each["rows"] for each in timeline] == [256, 44]


class Staggered(EchoWorker):
    """Says one thing after another before it is ready; `None` is that it is."""

    def __init__(self, name: str, *says: WorkerGone | None) -> None:
        super().__init__(name)
        self._says = list(says)

    async def prepare(self, spec: Spec) -> Identity:
        found = self._says.pop(0) if self._says else None
        if found:
            raise found
        return await super().prepare(spec)


def said(events: Sequence[object]) -> list[str]:
    return [each.text for each in events if isinstance(each, Remark)]


async def test_one_that_is_coming_is_waited_for_and_told_of_once(
    order: Order, tmp_path: Path
) -> None:
    coming = WorkerComing("it starts", retry_after_s=1)
    worker = Staggered("pod", coming, coming, WorkerComing("it fetches m"))
    events = await run(order, worker, home=tmp_path, world=Hasty())
    assert said(events) == ["pod: it starts", "pod: it fetches m"]
    assert content(order) == await unbroken(order, tmp_path)


async def test_a_job_begins_with_whoever_is_there(order: Order, tmp_path: Path) -> None:
    late = Staggered("late", *[WorkerComing("it starts")] * 99)
    events = await run(order, late, EchoWorker("here"), home=tmp_path, world=Hasty())
    assert isinstance(events[-1], Finished)
    assert late.asked == []


async def test_one_that_is_lost_is_done_without(order: Order, tmp_path: Path) -> None:
    lost = Staggered("lost", WorkerLost("it is terminated"), WorkerLost("it is terminated"))
    events = await run(order, lost, EchoWorker("here"), home=tmp_path)
    assert "lost is lost: it is terminated" in said(events)
    assert content(order) == await unbroken(order, tmp_path)


class Mortal(FickleWorker):
    """Falls over at its second shard, and is lost then."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda _, turn: turn == 1, name)

    async def prepare(self, spec: Spec) -> Identity:
        if self.asked:
            raise WorkerLost("the budget is spent")
        return await super().prepare(spec)


async def test_with_nobody_left_the_job_ends_and_can_go_on(order: Order, tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match="the budget is spent"):
        await run(order, Mortal("one"), Mortal("two"), home=tmp_path, world=Hasty())
    await run(order, EchoWorker(), home=tmp_path)
    assert content(order) == await unbroken(order, tmp_path)


async def test_a_job_goes_on_with_the_one_that_computes_as_it_began(
    order: Order, tmp_path: Path
) -> None:
    """Whoever is ready first may be another one each time."""
    away = Staggered("pod", WorkerComing("it starts"), WorkerLost("it is gone"))
    with pytest.raises(WorkerLost):
        await run(order, away, Mortal("here"), home=tmp_path, world=Hasty(), anew=True)
    other = EchoWorker("pod", identity=Identity("0" * 64, "endpoints", "score"))
    events = await run(order, other, EchoWorker("here"), home=tmp_path)
    assert isinstance(events[-1], Finished)
