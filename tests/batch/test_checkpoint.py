"""The folder of a job: parts are whole or absent, and one process runs the job."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from puna.batch.checkpoint import Checkpoint, JobRuns
from puna.batch.strings import pack_strings

JOB = "a" * 64


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    found = Checkpoint(tmp_path / "job")
    with found.lock():
        pass
    return found


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=9), max_size=6))
def test_a_part_comes_back_as_it_was(outcomes: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder))
        with checkpoint.lock():
            checkpoint.put_part(7, pack_strings(outcomes), JOB)
            assert list(checkpoint.part(7, JOB) or ()) == outcomes


def test_a_part_is_written_once(checkpoint: Checkpoint) -> None:
    checkpoint.put_part(1, pack_strings([b"first"]), JOB)
    checkpoint.put_part(1, pack_strings([b"second"]), JOB)
    assert list(checkpoint.part(1, JOB) or ()) == [b"first"]


@pytest.mark.parametrize("place", [0, 20, 80, -1])
def test_a_damaged_part_is_none_and_is_removed(checkpoint: Checkpoint, place: int) -> None:
    checkpoint.put_part(0, pack_strings([b"good"]), JOB)
    checkpoint.put_part(1, pack_strings([b"bad"]), JOB)
    path = checkpoint.folder / "parts/00000001"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert set(dict(checkpoint.whole_parts(3, JOB))) == {0}
    assert not path.exists()


def test_a_part_that_breaks_off_is_none(checkpoint: Checkpoint) -> None:
    checkpoint.put_part(0, pack_strings([b"some", b"outcomes"]), JOB)
    path = checkpoint.folder / "parts/00000000"
    path.write_bytes(path.read_bytes()[:-3])
    assert checkpoint.part(0, JOB) is None


def test_a_part_of_another_job_or_place_is_none(checkpoint: Checkpoint) -> None:
    checkpoint.put_part(0, pack_strings([b"x"]), JOB)
    (checkpoint.folder / "parts/00000000").rename(checkpoint.folder / "parts/00000001")
    assert checkpoint.part(1, JOB) is None
    checkpoint.put_part(2, pack_strings([b"x"]), JOB)
    assert checkpoint.part(2, "b" * 64) is None


def test_what_a_crash_left_half_written_is_no_part(checkpoint: Checkpoint) -> None:
    (checkpoint.folder / "parts/.00000000.new").write_bytes(b"half")
    assert set(dict(checkpoint.whole_parts(1, JOB))) == set()
    checkpoint.put_part(0, pack_strings([b"whole"]), JOB)
    assert list(checkpoint.part(0, JOB) or ()) == [b"whole"]


def test_a_second_runner_is_refused(checkpoint: Checkpoint) -> None:
    other = Checkpoint(checkpoint.folder)
    with checkpoint.lock():
        assert other.runs
        with pytest.raises(JobRuns, match="already running"), other.lock():
            pass
    assert not other.runs


def test_clearing_leaves_nothing_but_the_lock(checkpoint: Checkpoint) -> None:
    checkpoint.put_part(0, pack_strings([b"x"]), JOB)
    checkpoint.write("manifest.json", b"{}")
    (checkpoint.folder / "spill").mkdir()
    with checkpoint.lock():
        checkpoint.clear()
    names = sorted(each.name for each in checkpoint.folder.rglob("*"))
    assert names == ["lock", "parts"]


def test_a_small_file_is_read_back_or_is_none(checkpoint: Checkpoint) -> None:
    checkpoint.write("manifest.json", b"one")
    checkpoint.write("manifest.json", b"two")
    checkpoint.append("timeline.jsonl", b"1")
    checkpoint.append("timeline.jsonl", b"2")
    assert checkpoint.read("manifest.json") == b"two"
    assert checkpoint.read("timeline.jsonl") == b"1\n2\n"
    checkpoint.remove("manifest.json")
    assert checkpoint.read("manifest.json") is None
