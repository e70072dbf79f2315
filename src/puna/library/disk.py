"""Files that are whole or absent, and what goes wrong on a disk in words.

Everything that the store writes goes to a temporary name first, is flushed to the disk and then
renamed, so that a crash, a full disk or a pulled plug leaves the old file or the new one. Errors of
the operating system become one line that says which store and what to do.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

from puna.errors import Failed, PunaError
from puna.units import Size

FILE_MODE = 0o644
"""Mode of blobs and manifests: a store is often shared with a service that runs as another user."""


MORE_ROOM = "remove a model with `puna rm`, or set PUNA_MODELS to a folder on a larger disk"


class StoreFull(Failed):
    """The disk of the store has no room left; nothing half-written stays."""

    code = "store_full"


class StoreReadOnly(Failed):
    """The store can be read and used, and not written."""

    code = "store_read_only"


class StoreFailed(Failed):
    """The disk of the store answered with an error."""

    code = "store_failed"


_FULL = {
    errno.ENOSPC: "no space left on device",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "the file is larger than allowed here",
}
_READ_ONLY = {
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
}


@contextmanager
def disk_errors(store: Path) -> Iterator[None]:
    """Turn an `OSError` inside into `StoreFull`, `StoreReadOnly` or `StoreFailed` about `store`."""
    try:
        yield
    except OSError as error:
        raise explain(error, store) from error


def explain(error: OSError, store: Path) -> PunaError:
    """Say what a disk error means for the people of this store."""
    number = error.errno or 0
    if number in _FULL:
        return StoreFull(
            f"store {store} is full: {_FULL[number]}",
            hint=MORE_ROOM,
        )
    if number in _READ_ONLY:
        return StoreReadOnly(
            f"store {store} cannot be written: {_READ_ONLY[number]}",
            hint="its models still work; to add or remove some, set PUNA_MODELS to your own folder",
        )
    where = f": {error.filename}" if error.filename else ""
    return StoreFailed(f"store {store} failed: {error.strerror or error}{where}")


def open_new(path: Path) -> FileIO:
    """Open a new file for writing, unbuffered; what is there already is `FileExistsError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return FileIO(os.open(path, flags, FILE_MODE), "wb")


def write_all(file: FileIO, content: bytes) -> None:
    """Write every byte: one write of the system may take only a part when the disk runs full."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]


def write_whole(path: Path, content: bytes, *, temporary: Path) -> None:
    """Put `content` at `path`, whole or not at all, by way of `temporary` on the same disk."""
    try:
        with open_new(temporary) as file:
            write_all(file, content)
            make_durable(file)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_durable(file: FileIO) -> None:
    """Give the file its final mode, whatever the umask, and flush it to the disk."""
    os.fchmod(file.fileno(), FILE_MODE)
    os.fsync(file.fileno())


def sync_file(file: IO[str] | IO[bytes]) -> None:
    """Flush what was written to an open file, so that it survives a crash of the machine."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a rename in it survives a crash of the machine."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def free_room(folder: Path) -> Size:
    """Return the bytes that an ordinary user may still write on the disk of `folder`."""
    state = os.statvfs(folder)
    return Size(state.f_bavail * state.f_frsize)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it; links are removed, never followed."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            Path(parent, name).unlink(missing_ok=True)
        for name in folders:
            path = Path(parent, name)
            path.unlink() if path.is_symlink() else path.rmdir()
    with suppress(FileNotFoundError):
        folder.rmdir()
