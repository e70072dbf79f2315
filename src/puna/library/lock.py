"""The lock of a store: one process changes it at a time, and a dead one holds nothing.

`flock` of the system, because the system itself releases it when a process dies, however it dies.
It is held for milliseconds only: to publish a manifest, to remove files, to take a claim. Long work
(a download of an hour) is protected by a claim instead: see claims.py. The file is never removed,
as that would let two processes lock two files of the same name. `filelock` would do the same; it
takes 90 ms to import, and `puna list` has 150 ms for everything.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from puna.errors import Unavailable
from puna.units import Span
from puna.world import wait_until

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_PATIENCE = Span.of(seconds=20)


class StoreBusy(Unavailable):
    """Another process holds the store's lock for too long; asking again can succeed."""

    code = "store_busy"


class Lock(Enum):
    """What came of an attempt to lock a file."""

    OURS = auto()
    THEIRS = auto()
    UNSUPPORTED = auto()
    """Some network file systems have no locks. There the age rule of pruning must do."""


def try_lock(lock_fd: int) -> Lock:
    """Lock an open file if nobody else has. Closing it unlocks."""
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.THEIRS
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return Lock.UNSUPPORTED
        raise
    return Lock.OURS


@contextmanager
def exclusive(path: Path, *, limit: Span = _PATIENCE) -> Iterator[None]:
    """Hold the lock file at `path`, across processes and threads. Blocks; raises `StoreBusy`."""
    lock_fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not wait_until(lambda: try_lock(lock_fd) is not Lock.THEIRS, limit=limit):
            raise StoreBusy(
                f"another process keeps the store locked: {path}",
                hint="end the puna process that holds it, or continue it if it is stopped",
            )
        yield
    finally:
        os.close(lock_fd)
