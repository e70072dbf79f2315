"""A pod's volume: what it keeps when it stops, and no larger than it was rented.

Where the engine is Podman and this process may, a volume is an ext4 file system in a file of just
that size, whose room is taken from the disk when it is made: full is full, for the pod alone. The
engine mounts it when the container starts. Elsewhere it is a folder without a bound of its own,
which the owner is told of when the machine joins.
"""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from puna.agent.containers import HOST, POD, first_user, volume_name
from puna.agent.engine import Engine
from puna.agent.problems import NoRoom
from puna.errors import Failed
from puna.node.private import make_folder
from puna.text import one_line
from puna.units import Size

_MOST_MOUNTS = 8
_SPARE = Size(2 * 10**9)
"""What is left free on the owner's disk."""


class Volumes:
    """Makes and removes volumes. Each call may be made again."""

    def __init__(self, engine: Engine, host: str, folder: Path, *, has_images: bool) -> None:
        self._engine = engine
        self._host = host
        self._folder = folder
        self._has_images = has_images

    async def make(self, pod: str, size: Size) -> None:
        """Make a pod's volume unless it is there. Raises `NoRoom`, `Failed`."""
        name = volume_name(pod)
        if any(each.name == name for each in await self._engine.volumes()):
            return
        options: dict[str, str] = {}
        if self._has_images:
            file = self._folder / f"{pod}.ext4"
            await asyncio.to_thread(make_image, file, size, first_user(pod))
            options = {"type": "ext4", "device": str(file), "o": "loop,nodev,nosuid"}
        await self._engine.make_volume(name, {POD: pod, HOST: self._host}, options)

    async def let_go(self, pod: str) -> bool:
        """Unmount a pod's volume that no container has; tell whether it was mounted."""
        was_mounted = False
        if self._has_images:
            for each in await self._engine.volumes():
                if each.name == volume_name(pod):
                    was_mounted |= await asyncio.to_thread(_let_go, each.folder)
        return was_mounted

    async def remove(self, pod: str) -> None:
        """Remove a pod's volume with all that is in it."""
        await self.let_go(pod)
        await self._engine.remove_volume(volume_name(pod))
        await asyncio.to_thread((self._folder / f"{pod}.ext4").unlink, missing_ok=True)


def can_make_images() -> bool:
    """Return whether volumes can be images here: the tools, loop devices, and the right to them."""
    has_tools = bool(shutil.which("mkfs.ext4") and shutil.which("mount"))
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


def _let_go(folder: Path) -> bool:
    """Unmount a volume that no container has; Podman 4 forgets some that it has mounted itself."""
    was_mounted = folder.is_mount()
    for _ in range(_MOST_MOUNTS):
        if not folder.is_mount() or _run("umount", "--lazy", str(folder)):
            break
    return was_mounted


def _format(file: Path, user: int) -> None:
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E"]
    options = f"nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner={user}:{user}"
    if said := _run(*words, options, str(file)):
        raise Failed(f"a volume cannot be made: {said}")


def _run(*words: str) -> str:
    """Run a program of the system's; return what it complains of, or nothing."""
    done = subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - fixed words, no shell
    said = one_line(done.stderr.decode(errors="replace"))
    return said or f"{words[0]} ended with {done.returncode}" if done.returncode else ""
