"""A volume of a fixed size is a file system in a file, made once and whole."""

import shutil
from pathlib import Path

import pytest

from puna.agent.containers import first_user
from puna.agent.problems import NoRoom
from puna.agent.volumes import make_image
from puna.errors import Failed
from puna.units import Size

MB = 10**6
needs_mkfs = pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="no mkfs.ext4 here")


@needs_mkfs
def test_its_room_is_taken_when_it_is_made(tmp_path: Path) -> None:
    file = tmp_path / "volumes" / "p1.ext4"
    make_image(file, Size(8 * MB), first_user("p1"))
    assert file.stat().st_size == 8 * MB
    assert file.stat().st_blocks * 512 >= 8 * MB * 9 // 10
    assert file.read_bytes()[0x438:0x43A] == b"\x53\xef"


@needs_mkfs
def test_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "p1.ext4"
    make_image(file, Size(8 * MB), 0)
    file.write_bytes(b"what the renter has")
    make_image(file, Size(8 * MB), 0)
    assert file.read_bytes() == b"what the renter has"


@needs_mkfs
def test_one_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "p1.draft").write_bytes(b"half")
    make_image(tmp_path / "p1.ext4", Size(8 * MB), 0)
    assert [file.name for file in tmp_path.iterdir()] == ["p1.ext4"]


def test_more_than_the_disk_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="does not fit"):
        make_image(tmp_path / "p1.ext4", Size(10**18), 0)
    assert list(tmp_path.iterdir()) == []


@needs_mkfs
def test_what_mkfs_says_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be made"):
        make_image(tmp_path / "p1.ext4", Size(1000), 0)
    assert list(tmp_path.iterdir()) == []
