"""Open a file that a person named: only a regular one, and never waiting for it.

A named pipe would block the reader for ever, a device has no end, a directory is a frequent slip.
Links are followed, since model folders are full of them.
"""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from puna.errors import Invalid
from puna.text import one_line


class UnusableFile(Invalid):
    """The named thing is not a regular file that can be read."""

    code = "unusable_file"


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "the name is too long",
}


def open_regular(path: Path) -> FileIO:
    """Open `path` for reading; the caller closes it. Raises `UnusableFile`; never blocks."""
    try:
        # Before opening: to open a device can be to act on it.
        _refuse_other_kinds(path, path.stat().st_mode)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise UnusableFile(f'cannot read "{shown_path(path)}": {reason_of(error)}') from error
    try:
        _refuse_other_kinds(path, os.fstat(descriptor).st_mode)
        return FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def shown_path(path: Path) -> str:
    """The path as it can be printed: on one line, without escape sequences."""
    return one_line(str(path))


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be read, in plain words."""
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, error.strerror or "unreadable")
    return "this cannot be the name of a file"


def _refuse_other_kinds(path: Path, mode: int) -> None:
    for is_kind, words in _KINDS:
        if is_kind(mode):
            raise UnusableFile(f'cannot read "{shown_path(path)}": it is {words}')
