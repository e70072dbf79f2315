"""The owner of all batches: sharing, giving up, ends, and starts after every kind of crash."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from puna.node.batches.batch import BatchState
from puna.node.batches.batches import BatchAsk, TooManyBatches
from puna.node.batches.journal import Journal
from puna.node.batches.row import RowReply
from puna.node.scheduler.crowd import Crowd
from puna.node.shelf import NoSuchFile
from puna.units import Span
from tests.batches.desks import ALONE, CHAT, FakeDesk, a_room

TEN = [f"t{n}" for n in range(10)]
TICK = Span.of(seconds=1)


async def test_no_more_rows_are_under_way_than_there_are_places(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        batch = await room.over(await room.add(TEN))
        assert (room.texts(batch), room.desk.most) == (TEN, 4)


async def test_two_batches_share_the_model(tmp_path: Path) -> None:
    async with a_room(tmp_path, FakeDesk(is_open=False)) as room:
        await room.add(["a1", "a2", "a3"])
        await room.add(["b1", "b2", "b3"])
        await room.until(lambda: "b2" in room.desk.under_way)
        await room.until(lambda: room.desk.most >= 4)
        room.desk.gate.set()
        assert {"a1", "a2", "b1", "b2"} <= set(room.desk.asked)


async def test_another_model_waits_for_the_oldest_batch(tmp_path: Path) -> None:
    async with a_room(tmp_path, FakeDesk(is_open=False)) as room:
        first = await room.add(["a1"])
        await room.until(lambda: "a1" in room.desk.under_way)
        second = await room.add(["b1"], model="m2")
        await room.until(lambda: room.batches._batches[second.id].state == "in_progress")
        assert room.desk.asked == ["a1"]
        room.desk.gate.set()
        assert [(await room.over(each)).state for each in (first, second)] == ["completed"] * 2


async def test_rows_are_given_up_for_who_waits_and_come_again(tmp_path: Path) -> None:
    async with a_room(tmp_path, FakeDesk(is_open=False)) as room:
        batch = await room.add(TEN[:4])
        await room.until(lambda: len(room.desk.under_way) == 4)
        room.desk.crowd_now = Crowd(slots=4, homeless=1, longest=Span.of(seconds=3))
        await room.world.advance(TICK)
        assert room.desk.under_way == []
        room.desk.crowd_now, room.desk.is_open = ALONE, True
        await room.world.advance(TICK)
        assert room.texts(await room.over(batch)) == TEN[:4]


async def test_a_model_that_was_removed_is_told_row_by_row(tmp_path: Path) -> None:
    desk = FakeDesk(reply=lambda _: RowReply(status=404, body=b'{"error":{"message":"no"}}'))
    async with a_room(tmp_path, desk) as room:
        batch = await room.over(await room.add(["a", "b"], model="m-removed"))
        assert (batch.tally.failed, batch.output_file) == (2, "")


async def test_a_passing_failure_is_asked_again(tmp_path: Path) -> None:
    replies = [RowReply(status=503, body=b"{}", retry_after_s=2), RowReply(status=200, body=b"{}")]
    async with a_room(tmp_path, FakeDesk(reply=lambda _: replies.pop(0))) as room:
        batch = await room.add(["a"])
        await room.until(lambda: room.desk.asked == ["a"])
        await room.world.advance(Span.of(seconds=3))
        assert (await room.over(batch)).tally.completed == 1


async def test_a_row_that_kills_its_engine_fails_after_three_tries(tmp_path: Path) -> None:
    dead = RowReply(status=500, body=b'{"error":{}}', code="engine_died")
    async with a_room(tmp_path, FakeDesk(reply=lambda _: dead)) as room:
        batch = await room.add(["a"])
        await room.until(lambda: room.desk.asked == ["a"])
        await room.world.advance(Span.of(seconds=10))
        assert ((await room.over(batch)).tally.failed, room.desk.asked) == (1, ["a"] * 3)


async def test_a_disk_that_is_full_for_a_while_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, full = Journal.add, True

    def failing(journal: Journal, *entry: object) -> None:
        if full:
            raise OSError(28, "No space left on device")
        add(journal, *entry)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "add", failing)
    async with a_room(tmp_path) as room:
        batch = await room.add(TEN)
        await room.until(lambda: len(room.desk.asked) >= 4 and not room.desk.under_way)
        await room.world.advance(TICK)
        assert len(room.desk.asked) == 4
        full = False
        await room.world.advance(Span.of(seconds=30))
        assert room.texts(await room.over(batch)) == TEN
        assert sorted(room.desk.asked) == sorted(TEN)


async def test_a_crash_while_the_files_are_written_leaves_one_of_each(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        batch = await room.over(await room.add(TEN))
        source = room.shelf.content(batch.input_file).read_bytes()
        output = room.shelf.content(batch.output_file).read_bytes()
        records = room.batches._records
    journal = Journal(records.journal(batch.id), 10)
    # As it was after the files and before the record: the journal is whole, the state is not.
    for number, line in enumerate(output.splitlines()):
        journal._file.write(b"%d 1 0 0 0 0 %b\n" % (number, line))
    journal.close()
    records.input(batch.id).write_bytes(source)
    unfinished = replace(batch, state=BatchState.FINALIZING, output_file="", error_file="")
    records.write(unfinished, "mark")
    async with a_room(tmp_path) as room:
        again = await room.over(batch)
        files = [each for each in room.shelf.all_of("") if each.purpose == "batch_output"]
        assert (again.output_file, len(files), room.desk.asked) == (batch.output_file, 1, [])
        assert room.shelf.content(again.output_file).read_bytes() == output


async def test_one_that_was_being_cancelled_is_cancelled_after_the_start(tmp_path: Path) -> None:
    async with a_room(tmp_path, FakeDesk(is_open=False)) as room:
        batch = await room.add(TEN)
        await room.until(lambda: len(room.desk.under_way) == 4)
        now = room.world.now()
        room.batches._records.write((await room.now(batch)).cancelled(now), "mark")
    async with a_room(tmp_path) as room:
        ended = await room.over(batch)
        assert (ended.state, room.desk.asked, len(room.errors(ended))) == ("cancelled", [], 10)


async def test_a_damaged_record_stops_no_other_batch(tmp_path: Path) -> None:
    async with a_room(tmp_path, FakeDesk(is_open=False)) as room:
        bad, good = await room.add(["a"]), await room.add(["b"])
        await room.until(lambda: len(room.desk.under_way) == 2)
    (tmp_path / "batches" / f"{bad.id}.json").write_bytes(b'{"id": 1')
    async with a_room(tmp_path) as room:
        assert (await room.over(good)).state == "completed"
        assert (tmp_path / "batches" / f"{bad.id}.input").exists()


async def test_remains_of_a_crash_are_cleared_at_the_start(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        await room.over(await room.add(["a"]))
    folder = tmp_path / "batches"
    lost = [folder / f"batch_{'0' * 32}.input", folder / f".batch_{'0' * 32}.json.mark"]
    for path in lost:
        path.write_bytes(b"x")
    async with a_room(tmp_path):
        assert [path.exists() for path in lost] == [False, False]


async def test_what_is_over_keeps_no_input(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        batch = await room.over(await room.add(["a"]))
        await room.until(lambda: not room.batches._records.input(batch.id).exists())
        assert not room.batches._records.journal(batch.id).exists()


async def test_the_rows_of_a_key_that_is_gone_are_not_computed(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        batch = await room.over(await room.add(TEN, owner="gone"))
        assert (batch.state, batch.errors[0].code) == ("cancelled", "key_revoked")
        assert [each["error"]["code"] for each in room.errors(batch)] == ["batch_cancelled"] * 10  # type: ignore[index]


async def test_only_so_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("puna.node.batches.batches._MOST_OPEN", 1)
    async with a_room(tmp_path, FakeDesk(is_open=False)) as room:
        await room.add(["a"])
        with pytest.raises(TooManyBatches, match="1 batches wait already"):
            await room.add(["b"])


async def test_anothers_file_makes_no_batch(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        batch = await room.add(["a"], owner="one")
        with pytest.raises(NoSuchFile):
            await room.batches.create(
                BatchAsk(endpoint=CHAT, input_file=batch.input_file, owner="other")
            )
        assert (
            json.loads((tmp_path / "batches" / f"{batch.id}.json").read_bytes())["owner"] == "one"
        )
