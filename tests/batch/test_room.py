"""A job that the disk has no room for is refused before it is computed."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from puna.batch import job, room
from puna.batch.events import Finished, Remark
from puna.batch.jobs import read_job
from puna.batch.manifest import Manifest
from puna.batch.room import NoRoom, kept_bytes, written_bytes
from puna.batch.shards import Shard
from puna.batch.spec import PromptTask
from puna.batch.workers.worker import Answer
from puna.units import Size
from tests.batch.stage import EchoWorker, an_order, folder_of, run, write_csv

ROWS = 600
SIZE = len("id,text\n") + sum(len(f'{n},"row {n}"\n') for n in range(ROWS))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "in.csv", [f"row {n}" for n in range(ROWS)])


class Filling(EchoWorker):
    """After one shard, nothing can be written any more."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        if self.asked:
            raise OSError(self._number, os.strerror(self._number))
        return await super().compute(shard)


async def begun(source: Path, output: str, **spec: object) -> Manifest:
    order = an_order(source, source.with_name(output), column="text", **spec)
    await run(order, home=source.parent)
    _, manifest = read_job(folder_of(order, source.parent))
    assert manifest is not None
    return manifest


async def test_what_is_done_is_taken_off(source: Path) -> None:
    manifest = await begun(source, "out.csv")
    assert manifest.shards == 3
    row = 8 + 21
    assert [kept_bytes(manifest, done) for done in (0, 1, 2, 3)] == [
        2 * ROWS * row,
        (ROWS + 2 * 255) * row,
        (ROWS + 255) * row,
        ROWS * row,
    ]


@pytest.mark.parametrize(
    ("output", "is_known"),
    [("a.csv", True), ("a.jsonl", True), ("a.csv.gz", False), ("a.parquet", False)],
)
async def test_an_output_in_text_has_at_least_what_was_read(
    source: Path, output: str, is_known: bool
) -> None:
    manifest = await begun(source, output, task=PromptTask())
    assert written_bytes(manifest) == (SIZE if is_known else 0)


async def test_a_job_without_room_asks_nobody(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, order = EchoWorker(), an_order(source, tmp_path / "out.csv", column="text")
    monkeypatch.setattr(room, "free_room", lambda _: Size(1000))
    with pytest.raises(NoRoom, match=r"takes 4\d KB more on the disk of .*, which has 1 KB free"):
        await run(order, worker, home=tmp_path)
    assert worker.asked == []
    monkeypatch.undo()
    assert isinstance((await run(order, worker, home=tmp_path))[-1], Finished)


def remarks(events: Sequence[object]) -> list[str]:
    return [each.text for each in events if isinstance(each, Remark)]


async def test_a_large_job_says_at_its_end_what_it_keeps(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = an_order(source, tmp_path / "out.csv", column="text")
    monkeypatch.setattr(job, "LARGE", Size(10))
    said = remarks(await run(order, home=tmp_path))
    name = folder_of(order, tmp_path).folder.name
    assert said[-1].endswith(f"on the disk; `puna batch cancel {name}` frees it")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_disk_that_fills_up_is_named_and_costs_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    order = an_order(source, tmp_path / "out.csv", column="text")
    folder = folder_of(order, tmp_path).folder
    monkeypatch.setattr(room, "free_room", lambda path: Size(path == tmp_path) + 2**30)
    with pytest.raises(NoRoom) as caught:
        await run(order, Filling(number), home=tmp_path)
    assert caught.value.message == f"the disk of {folder} is full"
    worker = EchoWorker()
    await run(order, worker, home=tmp_path)
    assert len(worker.rows) == ROWS - 255


async def test_other_errors_of_a_disk_stay_what_they_are(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"):
        await run(an_order(source, tmp_path / "o.csv"), Filling(errno.EIO), home=tmp_path)
