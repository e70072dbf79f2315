"""A volume of a fixed size is a file system in a file, made once and whole."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from puna.agent.containers import HOST, POD, first_user
from puna.agent.problems import NoRoom
from puna.agent.volumes import Volumes, can_make_images, grow_image, make_image
from puna.errors import Failed
from puna.units import Size
from tests.agent.hosts import HOST as HOST_NAME, Host, a_host, an_order

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


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    if not can_make_images():
        pytest.skip("volumes cannot be images here")
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False, capture_output=True)


@pytest.fixture
async def left_mounted(tmp_path: Path, mounted: Path) -> AsyncIterator[tuple[Host, Path]]:
    """A host on which a run has ended and its volume is still mounted."""
    async with a_host(tmp_path, has_images=True) as host:
        labels = {POD: "p1", HOST: "h1"}
        volume = {"Name": "puna-p1", "Labels": labels, "Mountpoint": str(mounted)}
        host.there.volumes["puna-p1"] = volume
        yield host, mounted


async def test_a_mount_that_the_engine_forgot_holds_up_no_restart(
    left_mounted: tuple[Host, Path],
) -> None:
    host, place = left_mounted
    host.there.refuses["start"] = ["mount: /v/p1.ext4 is already mounted."]
    host.order(an_order(run=2, volume=10**9, volume_path="/workspace"))
    await host.turns(5)
    assert (await host.report()).observed == "running"
    assert (host.there.calls["create"], host.there.calls["start"]) == (1, 2)
    assert not place.is_mount()


async def test_a_mount_is_left_alone_when_something_else_is_wrong(
    left_mounted: tuple[Host, Path],
) -> None:
    host, place = left_mounted
    host.there.refuses["start"] = ["address already in use"]
    host.order(an_order(volume=10**9, volume_path="/workspace"))
    await host.turns(20)
    assert (await host.report()).observed == "running"
    assert place.is_mount()


def left_of(pod: str, folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith(pod)]


def room_in(file: Path) -> int:
    """Return how large the file system in a file says that it is."""
    head = file.read_bytes()[1024:1056]
    blocks, size = (
        int.from_bytes(head[4:8], "little"),
        1024 << int.from_bytes(head[24:28], "little"),
    )
    return blocks * size


@needs_mkfs
def test_one_that_is_there_grows_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "p1.ext4"
    make_image(file, Size(8 * MB), first_user("p1"))
    grow_image(file, Size(24 * MB))
    assert file.stat().st_size == 24 * MB
    assert 23 * MB < room_in(file) <= 24 * MB
    assert file.stat().st_blocks * 512 >= 23 * MB
    assert [each.name for each in tmp_path.iterdir()] == ["p1.ext4"]


@needs_mkfs
@pytest.mark.parametrize("size", [0, 4 * MB, 8 * MB])
def test_one_never_becomes_smaller(tmp_path: Path, size: int) -> None:
    file = tmp_path / "p1.ext4"
    make_image(file, Size(8 * MB), 0)
    before = file.read_bytes()
    grow_image(file, Size(size))
    assert file.read_bytes() == before


@needs_mkfs
def test_one_whose_growth_was_broken_off_grows_again(tmp_path: Path) -> None:
    file = tmp_path / "p1.ext4"
    make_image(file, Size(8 * MB), 0)
    with file.open("r+b") as opened:
        opened.truncate(24 * MB)
    (tmp_path / "p1.grows").touch()
    grow_image(file, Size(24 * MB))
    assert room_in(file) > 23 * MB


@needs_mkfs
def test_one_grows_no_larger_than_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "p1.ext4"
    make_image(file, Size(8 * MB), 0)
    with pytest.raises(NoRoom, match="cannot grow to"):
        grow_image(file, Size(10**18))
    assert file.stat().st_size == 8 * MB


def test_what_is_no_file_system_does_not_grow(tmp_path: Path) -> None:
    file = tmp_path / "p1.ext4"
    file.write_bytes(bytes(MB))
    with pytest.raises(Failed, match="a volume cannot grow"):
        grow_image(file, Size(2 * MB))
    assert (tmp_path / "p1.grows").exists()


async def test_a_pod_whose_volume_grows_is_made_anew_with_it(tmp_path: Path) -> None:
    if not can_make_images():
        pytest.skip("volumes cannot be images here")
    async with a_host(tmp_path, has_images=True) as host:
        host.order(an_order(volume=8 * MB, volume_path="/workspace"))
        await host.turns(5)
        host.order(an_order(run=2, volume=16 * MB, volume_path="/workspace"))
        await host.turns(5)
        assert (await host.report()).run == 2
    assert room_in(tmp_path / "p1.ext4") > 15 * MB


async def test_with_docker_the_agent_itself_mounts_a_volume_and_again_after_a_power_cut(
    tmp_path: Path,
) -> None:
    if not can_make_images():
        pytest.skip("volumes cannot be images here")
    async with a_host(tmp_path) as host:
        volumes = Volumes(host.engine, HOST_NAME, tmp_path, has_images=True, root=300_000)
        place = tmp_path / "p1.mounted"
        try:
            await volumes.make("p1", Size(8 * MB))
            bound = {"type": "none", "o": "bind", "device": str(place)}
            assert host.there.volumes["puna-p1"]["DriverOpts"] == bound
            assert (place.is_mount(), place.stat().st_uid) == (True, 300_000)
            (place / "kept").touch()
            await asyncio.to_thread(subprocess.run, ["umount", str(place)], check=True)
            await volumes.be_ready("p1")
            await volumes.be_ready("p1")
            assert (place / "kept").exists()
            await volumes.make("p1", Size(16 * MB))
            await volumes.be_ready("p1")
            assert (place / "kept").exists()
            assert shutil.disk_usage(place).total > 12 * MB
            assert not await volumes.let_go("p1")
        finally:
            await volumes.remove("p1")
    assert left_of("p1", tmp_path) == []


async def test_what_cannot_be_mounted_is_said(tmp_path: Path) -> None:
    if not can_make_images():
        pytest.skip("volumes cannot be images here")
    (tmp_path / "p1.ext4").write_bytes(bytes(MB))
    async with a_host(tmp_path) as host:
        volumes = Volumes(host.engine, HOST_NAME, tmp_path, has_images=True, root=0)
        with pytest.raises(Failed, match="cannot be mounted"):
            await volumes.be_ready("p1")
