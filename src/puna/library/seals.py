"""Seals: which blobs were found whole. A damaged one is refused, and a good one costs nothing.

To read 40 GB before each load takes half a minute; never to read them lets a flipped bit turn a
model into one that talks nonsense. So when a blob's digest has been computed, a seal is written,
`<store>/.puna/seals/<hex>`: the size, times and inode that the file had. A load looks only at
those. A blob without a seal, or that somebody wrote to since, is read once and sealed, or refused.
"""

import os
from contextlib import suppress
from pathlib import Path

from puna.library.blobs import Blobs
from puna.models.digest import Digest, digest_of_file
from puna.models.regular_file import UnusableFile


class Seals:
    """The seals of one store. Blocks; a store that cannot be written has none, and works."""

    def __init__(self, blobs: Blobs) -> None:
        self._folder = blobs.folder.parent / ".puna" / "seals"
        self._blobs = blobs

    def put(self, digest: Digest) -> None:
        """Note that the blob has just been found whole."""
        path = self._folder / digest.hex
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_text(_state(self._blobs.path(digest)), encoding="ascii")
            draft.replace(path)

    def is_whole(self, digest: Digest) -> bool:
        """Tell whether the blob is what its name says; reads all of it if its seal is broken."""
        path = self._blobs.path(digest)
        with suppress(OSError):
            seal = (self._folder / digest.hex).read_text(encoding="ascii", errors="replace")
            if seal == _state(path):
                return True
        try:
            found = digest_of_file(path)
        except (UnusableFile, OSError):
            return False
        if found == digest:
            self.put(digest)
        return found == digest

    def touch(self, digest: Digest) -> None:
        """Make a blob look new, which protects it from pruning; its seal stays good."""
        was_sealed = False
        with suppress(OSError):
            seal = (self._folder / digest.hex).read_text(encoding="ascii", errors="replace")
            was_sealed = seal == _state(self._blobs.path(digest))
        self._blobs.refresh(digest)
        if was_sealed:
            self.put(digest)

    def forget_removed(self) -> None:
        """Remove the seals of blobs that are gone."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if not (self._blobs.folder / f"sha256-{path.name}").exists():
                    path.unlink(missing_ok=True)


def _state(path: Path) -> str:
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
