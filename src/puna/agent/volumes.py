"""A pod's volume: what it keeps when it stops, and no larger than it was rented.

Where this process may, a volume is an ext4 file system in a file of just that size, whose room is
taken from the disk when it is made: full is full, for the pod alone. Podman mounts it when the
container starts; Docker cannot, so the agent does, and Docker binds the folder. Elsewhere it is a
folder without a bound of its own, which the owner is told of when the machine joins.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

from puna.agent.containers import HOST, POD, first_user, volume_name
from puna.agent.engine import Engine
from puna.agent.problems import NoRoom
from puna.errors import Failed
from puna.node.private import make_folder
from puna.text import one_line
from puna.units import Size

_MOST_MOUNTS = 8
_FLAGS = "loop,nodev,nosuid"
_SPARE = Size(2 * 10**9)
"""What is left free on the owner's disk."""


class Volumes:
    """Makes and removes volumes. Each call may be made again."""

    def __init__(
        self,
        engine: Engine,
        host: str,
        folder: Path,
        *,
        has_images: bool,
        root: int | None = None,
    ) -> None:
        """With `root`, Docker's number of a container's root, the agent itself mounts them."""
        self._engine = engine
        self._host = host
        self._folder = folder
        self._has_images = has_images
        self._root = root

    async def make(self, pod: str, size: Size) -> None:
        """Make a pod's volume, or let the one that is there grow. Raises `NoRoom`, `Failed`."""
        name, file = volume_name(pod), self._file(pod)
        if any(each.name == name for each in await self._engine.volumes()):
            if self._has_images:
                if self._root is not None and _is_to_grow(file, size):
                    await asyncio.to_thread(_let_go, self._place(pod))
                await asyncio.to_thread(grow_image, file, size)
            return
        options: dict[str, str] = {}
        if self._has_images:
            root = first_user(pod) if self._root is None else self._root
            await asyncio.to_thread(make_image, file, size, root)
            options = {"type": "ext4", "device": str(file), "o": _FLAGS}
            if self._root is not None:
                await self.be_ready(pod)
                options = {"type": "none", "device": str(self._place(pod)), "o": "bind"}
        await self._engine.make_volume(name, {POD: pod, HOST: self._host}, options)

    async def be_ready(self, pod: str) -> None:
        """Mount a pod's volume, if that is ours to do and it is not. Raises `Failed`."""
        if self._has_images and self._root is not None and self._file(pod).exists():
            await asyncio.to_thread(_mount, self._file(pod), self._place(pod))

    async def let_go(self, pod: str) -> bool:
        """Unmount a pod's volume that no container has; tell whether it was mounted."""
        was_mounted = False
        if self._has_images and self._root is None:
            for each in await self._engine.volumes():
                if each.name == volume_name(pod):
                    was_mounted |= await asyncio.to_thread(_let_go, each.folder)
        return was_mounted

    async def remove(self, pod: str) -> None:
        """Remove a pod's volume with all that is in it."""
        await self.let_go(pod)
        await self._engine.remove_volume(volume_name(pod))
        await asyncio.to_thread(_forget, self._file(pod), self._place(pod))

    def _file(self, pod: str) -> Path:
        return self._folder / f"{pod}.ext4"

    def _place(self, pod: str) -> Path:
        """Where the agent mounts it."""
        return self._folder / f"{pod}.mounted"


def can_make_images() -> bool:
    """Return whether volumes can be images here: the tools, loop devices, and the right to them."""
    has_tools = all(map(shutil.which, ("mkfs.ext4", "resize2fs", "losetup", "mount")))
    return has_tools and os.geteuid() == 0 and Path("/dev/loop-control").exists()


def make_image(file: Path, size: Size, user: int) -> None:
    """Make a file system of `size` in a file. Blocks. One that is half made is made anew."""
    if file.exists():
        return
    make_folder(file.parent)
    free = shutil.disk_usage(file.parent).free
    if free < size + _SPARE:
        raise NoRoom(f"a volume of {size} does not fit: {Size(free)} are free on this host")
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    try:
        with draft.open("xb") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
        _format(draft, user)
        draft.rename(file)
    except OSError as error:
        raise NoRoom(f"a volume of {size} cannot be made: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def grow_image(file: Path, size: Size) -> None:
    """Let a file system grow to `size`, with all that is in it. Blocks. It never becomes smaller.

    A mark stands beside it until it has grown: whoever is killed in between does it again.
    """
    mark = _mark_of(file)
    if not _is_to_grow(file, size):
        return
    more, free = size - file.stat().st_size, shutil.disk_usage(file.parent).free
    if more > 0 and free < more + _SPARE:
        raise NoRoom(f"a volume cannot grow to {size}: {Size(free)} are free on this host")
    try:
        mark.touch()
        _take_room(file, size)
        _grow_file_system(file)
        _take_room(file, size)  # a rest too small for a block was cut off
    except OSError as error:
        raise NoRoom(f"a volume cannot grow to {size}: {error.strerror}") from error
    mark.unlink()


def _is_to_grow(file: Path, size: Size) -> bool:
    return file.exists() and (file.stat().st_size < size or _mark_of(file).exists())


def _take_room(file: Path, size: Size) -> None:
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, size)


def _grow_file_system(file: Path) -> None:
    """Let a file system fill its file, mounted or not."""
    device = _output("losetup", "--associated", str(file), "--noheadings", "--output", "NAME")
    if device:
        said = _run("losetup", "--set-capacity", device) or _run("resize2fs", device)
    else:
        checked = _run("e2fsck", "-f", "-p", str(file), fine=(0, 1))
        said = checked or _run("resize2fs", str(file))
    if said:
        raise Failed(f"a volume cannot grow: {said}")


def _mark_of(file: Path) -> Path:
    return file.with_suffix(".grows")


def _let_go(folder: Path) -> bool:
    """Unmount a volume that no container has; Podman 4 forgets some that it has mounted itself."""
    was_mounted = folder.is_mount()
    for _ in range(_MOST_MOUNTS):
        if not folder.is_mount() or _run("umount", "--lazy", str(folder)):
            break
    return was_mounted


def _mount(file: Path, place: Path) -> None:
    """Mount an image; one that is mounted stays so."""
    if place.is_mount():
        return
    make_folder(place)
    if said := _run("mount", "-o", _FLAGS, str(file), str(place)):
        raise Failed(f"a volume cannot be mounted: {said}")


def _forget(file: Path, place: Path) -> None:
    """Remove an image and where it was mounted."""
    if place.exists():
        _let_go(place)
        place.rmdir()
    file.unlink(missing_ok=True)
    _mark_of(file).unlink(missing_ok=True)


def _format(file: Path, user: int) -> None:
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E"]
    options = f"nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner={user}:{user}"
    if said := _run(*words, options, str(file)):
        raise Failed(f"a volume cannot be made: {said}")


def _run(*words: str, fine: Collection[int] = (0,)) -> str:
    """Run a program of the system's; return what it complains of, or nothing."""
    done = subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - fixed words, no shell
    if done.returncode in fine:
        return ""
    said = one_line((done.stderr or done.stdout).decode(errors="replace"))
    return said or f"{words[0]} ended with {done.returncode}"


def _output(*words: str) -> str:
    """Return the first line that a program of the system's prints."""
    done = subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - fixed words, no shell
    return done.stdout.decode(errors="replace").partition("\n")[0].strip()
