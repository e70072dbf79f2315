"""A private directory for one child's socket: nobody else may enter, and none is left behind.

The socket needs no key because only this user can reach it. A lock on the directory says that its
owner is alive, across process namespaces and reused process numbers; the directories of those that
were killed are removed at the next start.
"""

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Self

if os.name == "posix":
    import fcntl

_PREFIX = "puna-engine-"
_SOCKET = "s.sock"  # llama.cpp tells a path from a host name by this ending
_LOCK = "lock"
_LONGEST_SOCKET_PATH = 100
"""Some systems allow 103 bytes; a random name of eight letters and the socket's have to fit."""


def has_unix_sockets() -> bool:
    """Whether this system can listen on a path."""
    return os.name == "posix" and hasattr(socket, "AF_UNIX")


class Den:
    """One such directory, from `dig` to `fill`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.socket = path / _SOCKET
        self._lock = lock

    @classmethod
    def dig(cls, root: Path | None = None) -> Self:
        """Make a directory below `root`, or below the system's own for such things."""
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root or _short_root()))
        lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(path, lock)

    def fill(self) -> None:
        """Remove the directory. Again does nothing."""
        if self._lock < 0:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1


def sweep_dens(root: Path | None = None) -> None:
    """Remove the directories of this user's processes that ended without doing so."""
    for path in (root or _short_root()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _short_root() -> Path:
    root = Path(tempfile.gettempdir())
    longest = len(os.fsencode(root / f"{_PREFIX}abcdefgh" / _SOCKET))
    return root if longest <= _LONGEST_SOCKET_PATH else Path("/tmp")  # noqa: S108 - mkdtemp below it
