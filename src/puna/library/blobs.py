"""The folder of contents, each under the name of its own digest: `blobs/sha256-<64 hex>`.

The layout is Ollama's, and Ollama may use the same folder at the same time. A blob has its final
name only when it is complete, flushed and its digest was computed. A blob on its way in is called
`sha256-<64 random hex>-partial`: Ollama takes that for a download of its own, leaves it alone while
it is young and removes it when it is old. The digits are random because Ollama reads every file
`sha256-<digest>-partial-*` as the state of its own download of that digest.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from puna.errors import Failed
from puna.library.disk import disk_errors, make_durable, open_new, sync_folder, write_all
from puna.models.digest import Digest, digest_of
from puna.models.regular_file import UnusableFile, open_regular
from puna.units import Size

_CHUNK = 1 << 20
_PARTIAL = re.compile(r"sha256-[0-9a-f]{64}-partial")
MAX_TEXT = Size(32 << 20)
"""The most bytes of a blob that is read whole."""


class DigestMismatch(Failed):
    """The content that arrived is not the content that was announced."""

    code = "digest_mismatch"

    def __init__(self, *, want: Digest, got: str) -> None:
        super().__init__(
            f"digest mismatch, file must be downloaded again: want {want}, got {got}",
            hint="nothing was kept; start again",
        )


class BlobMissing(Failed):
    """A model names a blob that is not in the store, or is not what the model says."""

    code = "blob_missing"


class BlobDamaged(Failed):
    """A blob is not what its name says: somebody or something changed it."""

    code = "blob_damaged"

    def __init__(self, digest: Digest) -> None:
        super().__init__(
            f"blob {digest} is damaged: its content has another digest",
            hint="pull the model again, or remove it with `puna rm`",
        )


@dataclass(frozen=True, slots=True)
class BlobFile:
    """One file in `blobs/`, whatever it is."""

    name: str
    size: Size
    changed_at: datetime


class Blobs:
    """Contents by digest. Reading needs no lock; who writes holds a claim."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: Digest) -> Path:
        """Return where the blob is, or where it would be."""
        path = self.folder / digest.blob_name
        old_style = self.folder / f"sha256:{digest.hex}"
        return old_style if not path.exists() and old_style.exists() else path

    def size(self, digest: Digest) -> Size | None:
        """Return the size of a blob, or nothing if it is not here."""
        with suppress(OSError):
            state = self.path(digest).stat()
            return Size(state.st_size) if stat.S_ISREG(state.st_mode) else None
        return None

    def read(self, digest: Digest) -> bytes:
        """Return a small blob (a template, a licence) whole. Raises `BlobMissing`, `BlobDamaged`.

        It is compared with its digest each time: a template with a flipped bit is none.
        """
        size = self.size(digest)
        if size is None or size > MAX_TEXT:
            what = "is not in the store" if size is None else f"has {size}, too much for a text"
            raise BlobMissing(f"blob {digest} {what}", hint="pull the model again")
        try:
            with open_regular(self.path(digest)) as file:
                content = file.read(MAX_TEXT)
        except UnusableFile as error:
            raise BlobMissing(f"blob {digest}: {error.message}") from error
        if digest_of(content) != digest:
            raise BlobDamaged(digest)
        return content

    def refresh(self, digest: Digest) -> None:
        """Make a blob look new, which protects it from the pruning of programs without claims."""
        with suppress(OSError):
            os.utime(self.path(digest))

    def receive(self, token: str) -> "Incoming":
        """Open a blob on its way in; `token` is 64 random hexadecimal digits."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Incoming(self, self.folder / partial_name(token))

    def can_link(self, source: Path) -> bool:
        """Tell whether `source` may get a second name here: same disk, readable for everyone."""
        state = source.stat()
        is_readable = bool(state.st_mode & stat.S_IROTH)
        self.folder.mkdir(parents=True, exist_ok=True)
        return is_readable and state.st_dev == self.folder.stat().st_dev

    def link(self, source: Path, digest: Digest) -> bool:
        """Give `source`, which has this digest, a second name here; tell whether that worked."""
        path = self.folder / digest.blob_name
        path.unlink(missing_ok=True)  # what is there has another size: see Draft.keep
        try:
            path.hardlink_to(source.resolve())
        except FileExistsError:
            return True  # another process was faster
        except OSError:
            return False  # a disk without links, or a system that forbids them: the caller copies
        sync_folder(self.folder)
        return True

    def files(self) -> Iterator[BlobFile]:
        """Return every file in the folder, those with strange names too."""
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(state.st_mode):
                        changed_at = datetime.fromtimestamp(state.st_mtime, UTC)
                        yield BlobFile(entry.name, Size(state.st_size), changed_at)

    def remove(self, name: str) -> Size:
        """Remove one file of the folder; return the room that this made."""
        path = self.folder / name
        try:
            state = path.lstat()
            path.unlink()
        except FileNotFoundError:
            return Size(0)
        return Size(state.st_size if state.st_nlink == 1 else 0)

    def rename_old_style(self) -> None:
        """Give blobs with Ollama's first names, `sha256:<hex>`, the names of today."""
        for file in list(self.files()):
            if file.name.startswith("sha256:"):
                target = self.folder / file.name.replace(":", "-", 1)
                if not target.exists():
                    (self.folder / file.name).rename(target)


def partial_name(token: str) -> str:
    """Return the name of a blob on its way in."""
    return f"sha256-{token}-partial"


def is_partial(name: str) -> bool:
    """Tell whether a name in `blobs/` is that of a blob that puna is taking in."""
    return bool(_PARTIAL.fullmatch(name))


def is_partial_download(name: str) -> bool:
    """Tell whether a name in `blobs/` is that of a blob, or a part's state, that can be resumed."""
    return bool(_PARTIAL.match(name))


class Incoming:
    """A blob on its way in: written piece by piece, and kept only when it is committed."""

    def __init__(self, blobs: Blobs, path: Path) -> None:
        self._blobs = blobs
        self._path = path
        self._file: FileIO = open_new(path)
        self._hash = hashlib.sha256()
        self.size = Size(0)

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest.parse(f"sha256:{self._hash.hexdigest()}")

    def write(self, chunk: bytes) -> None:
        """Add a piece. Raises `StoreFull` and its kin."""
        with disk_errors(self._blobs.folder.parent):
            write_all(self._file, chunk)
        self._hash.update(chunk)
        self.size = Size(self.size + len(chunk))

    def write_from(self, source: Path) -> None:
        """Add a whole file. Raises `UnusableFile`."""
        with open_regular(source) as file:
            while chunk := file.read(_CHUNK):
                self.write(chunk)

    def commit(self, want: Digest) -> None:
        """Keep what was written, if its digest is `want`. Raises `DigestMismatch`."""
        got = self.digest
        if got != want:
            raise DigestMismatch(want=want, got=got)
        make_durable(self._file)
        self._path.rename(self._blobs.folder / want.blob_name)
        sync_folder(self._blobs.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
