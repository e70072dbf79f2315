"""What a container has written is counted as the disk counts it."""

import os
from pathlib import Path

import pytest

from puna.agent.written import Written, files_for, programs_of, written_in

NO_END = Written()


def test_files_of_one_letter_take_a_block_each(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").write_text("x")
    found = written_in([tmp_path], (), most=NO_END)
    assert found.files == 50
    assert found.size >= 50 * 512


def test_a_file_of_two_names_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100_000))
    os.link(tmp_path / "a", tmp_path / "b")
    assert written_in([tmp_path], (), most=NO_END).files == 1


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for each in (outside, inside):
        each.mkdir()
    (outside / "large").write_bytes(bytes(1_000_000))
    (inside / "file").symlink_to(outside / "large")
    (inside / "folder").symlink_to(outside)
    assert written_in([inside], (), most=NO_END).size < 100_000


def test_a_file_without_a_name_is_counted_while_a_program_has_it(tmp_path: Path) -> None:
    with (tmp_path / "gone").open("wb") as file:
        file.write(bytes(3_000_000))
        file.flush()
        os.fsync(file.fileno())
        (tmp_path / "gone").unlink()
        assert written_in([tmp_path], (), most=NO_END) == NO_END
        found = written_in([tmp_path], [os.getpid()], most=NO_END)
        assert found.size >= 3_000_000


@pytest.mark.parametrize(
    ("most", "files"), [(Written(files=10), 11), (Written(size=1), 1), (NO_END, 40)]
)
def test_counting_ends_where_it_is_too_much(tmp_path: Path, most: Written, files: int) -> None:
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(bytes(5000))
    assert written_in([tmp_path], (), most=most).files == files


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert written_in([tmp_path / "gone"], [2**30], most=NO_END) == NO_END


def test_files_are_had_in_the_measure_of_the_disk(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    whole = disk.f_blocks * disk.f_frsize
    if not disk.f_files:  # a disk without an end of files
        assert files_for(whole, tmp_path) == 0
        return
    assert files_for(whole, tmp_path) == max(100_000, disk.f_files)
    assert files_for(1, tmp_path) == 100_000


def test_the_programs_of_a_container_bear_its_id(tmp_path: Path) -> None:
    for pid, group in ((7, "0::/libpod-abc"), (8, "0::/user.slice"), (9, None)):
        (tmp_path / f"{pid}").mkdir()
        if group:
            (tmp_path / f"{pid}/cgroup").write_text(group)
    (tmp_path / "self").mkdir()
    assert programs_of("abc", tmp_path) == [7]
