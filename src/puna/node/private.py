"""Files that only their owner reads: keys, and what clients leave with the node."""

import os
from pathlib import Path

from puna.library.disk import sync_folder

MODE = 0o600
FOLDER_MODE = 0o700


def open_private(path: Path) -> int:
    """Open a new file for reading and writing; one that exists is `FileExistsError`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(path, flags, MODE)


def write_private(path: Path, content: bytes, *, mark: str) -> None:
    """Put `content` at `path`, whole or not at all; `mark` makes the name of the draft."""
    draft = path.with_name(f".{path.name}.{mark}")
    try:
        with os.fdopen(open_private(draft), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder for such files, unless it is there."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
