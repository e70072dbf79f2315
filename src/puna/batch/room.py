"""What a job takes on the disk from here on, looked at before hours are spent on computing.

What is reckoned is what it will take for certain: a label has so many bytes, an answer in words any
number; a text file is written with at least what was read. It is never too much.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from puna.batch.formats import Format, shape_of_name
from puna.batch.manifest import Manifest
from puna.batch.outcome import least_bytes
from puna.errors import Failed
from puna.library.disk import free_room
from puna.units import Size

LARGE = Size(2**30)
"""A job that keeps more says so at its end."""
_PLACE = 8
"""Where an outcome ends: in a part, and again where all are gathered."""


class NoRoom(Failed):
    """A disk has no room for what a job will write."""

    code = "no_room"


def check_room(folder: Path, manifest: Manifest, done: int) -> None:
    """Raise `NoRoom` if computing what is not done, and writing, cannot end well."""
    output = Path(manifest.order.output)
    kept, written = kept_bytes(manifest, done), written_bytes(manifest)
    is_one_disk = folder.stat().st_dev == output.parent.stat().st_dev
    for place, needed in ((folder, kept + written * is_one_disk), (output.parent, written)):
        free = free_room(place)
        if free < needed:
            raise NoRoom(
                f"the job takes {Size(needed)} more on the disk of {place}, which has {free} free",
                hint="make room there; or begin elsewhere: PUNA_HOME is where the job lies",
            )


@contextmanager
def full_disks(*folders: Path) -> Iterator[None]:
    """Say which disk is full where one is; what was done before that stays. Raises `NoRoom`."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        full = min(folders, key=free_room)
        raise NoRoom(
            f"the disk of {full} is full",
            hint="make room there and give the same command again; what was computed is kept",
        ) from error


def kept_bytes(manifest: Manifest, done: int) -> int:
    """Return what parts and gathered outcomes will take, with so many shards done."""
    rows, left = manifest.intake.distinct, max(0, manifest.shards - done) * manifest.shard_rows
    return (rows + min(rows, left)) * (_PLACE + least_bytes(manifest.order.spec.task))


def written_bytes(manifest: Manifest) -> int:
    """Return what the output takes at least; 0 where it is packed, or what was read is."""
    names = [*manifest.files, manifest.order.output]
    if manifest.order.reading.limit is not None or not all(map(_is_plain, names)):
        return 0
    return sum(Path(each).stat().st_size for each in manifest.files)


def _is_plain(name: str) -> bool:
    shape = shape_of_name(Path(name))
    return shape is not None and not shape.packing and shape.format is not Format.PARQUET
