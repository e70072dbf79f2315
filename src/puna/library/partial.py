"""A blob that arrives in parts, in any order, and outlives the process that fetches it.

The files are Ollama's, so that either program goes on where the other stopped: the blob itself at
its full length, `sha256-<hex>-partial`, with holes where nothing has arrived, and beside it a small
file for each part, `-partial-<n>`, that says how far it is. A part's file is written after the
bytes that it counts, at least once in a megabyte, so a killed process loses less than that of each
connection. What a machine without power may have lost is found by the digest at the end.

Of several who fetch one blob, whoever has the lock of the file does; the others wait.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from puna.library.blobs import Blobs, DigestMismatch
from puna.library.disk import FILE_MODE, disk_errors, sync_folder
from puna.library.lock import Lock, try_lock
from puna.models.manifest import Layer
from puna.models.strict_json import BadJson, parse_json
from puna.units import Size

_READ = 1 << 20
_FLUSHED = 64 << 20
_MOST_STATE = 4096
_STATE_LENGTH = 160
"""Every state of a part has this length, so that a new one covers the old one in one write."""


@dataclass(slots=True)
class Part:
    """A stretch of the blob: one connection fetches it."""

    number: int
    begin: int
    size: int
    completed: int = 0

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.begin + self.size

    @property
    def next(self) -> int:
        """The first byte that is missing."""
        return self.begin + self.completed

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self.completed >= self.size


class Partial:
    """One blob on its way, held by this process alone. Every method blocks."""

    def __init__(self, blobs: Blobs, layer: Layer, blob_fd: int) -> None:
        self.layer = layer
        self.parts: list[Part] = []
        self.was_begun = False
        """Whether an earlier download left something here."""
        self._blobs = blobs
        self._fd = blob_fd
        self._state_fds: dict[int, int] = {}
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._flushed = 0

    @property
    def completed(self) -> Size:
        """The bytes that are here."""
        return Size(sum(part.completed for part in self.parts))

    def plan(self, part_size: int) -> None:
        """Take up what is there, and divide the rest into parts. Raises `StoreFull` and its kin."""
        with disk_errors(self._blobs.folder.parent):
            known = self._known_parts()
            self.was_begun = any(part.completed for part in known)
            if not known:
                self._forget_states()
            os.ftruncate(self._fd, self.layer.size)
            self.parts = _filled(known, self.layer.size, part_size)

    def start_over(self, part_size: int) -> None:
        """Forget everything that is here."""
        with disk_errors(self._blobs.folder.parent):
            self._forget_states()
            self._hash, self._hashed, self.was_begun = hashlib.sha256(), 0, False
            os.ftruncate(self._fd, 0)
            os.ftruncate(self._fd, self.layer.size)
            self.parts = _filled([], self.layer.size, part_size)

    def write(self, part: Part, chunks: Sequence[bytes]) -> None:
        """Add bytes to a part, and write down that they are here."""
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        left = memoryview(content)[: part.size - part.completed]
        with disk_errors(self._blobs.folder.parent):
            while left:
                written = os.pwrite(self._fd, left, part.next)
                part.completed += written
                left = left[written:]
            self._write_state(part)

    def hash_arrived(self, *, most: int = _FLUSHED) -> bool:
        """Hash what has arrived without a gap, and flush it; tell whether all is hashed."""
        with disk_errors(self._blobs.folder.parent):
            end = min(self._frontier(), self._hashed + most)
            while self._hashed < end:
                chunk = os.pread(self._fd, min(_READ, end - self._hashed), self._hashed)
                if not chunk:
                    break
                self._hash.update(chunk)
                self._hashed += len(chunk)
            if self._hashed - self._flushed >= _FLUSHED:
                os.fdatasync(self._fd)
                self._flushed = self._hashed
        return self._hashed >= self.layer.size

    def commit(self) -> None:
        """Make it a blob, if its digest is right. Raises `DigestMismatch`, and nothing stays."""
        while not self.hash_arrived():
            if self._frontier() <= self._hashed:
                break
        got = f"sha256:{self._hash.hexdigest()}"
        if got != self.layer.digest:
            self.discard()
            raise DigestMismatch(want=self.layer.digest, got=got)
        with disk_errors(self._blobs.folder.parent):
            os.fchmod(self._fd, FILE_MODE)
            os.fsync(self._fd)
            self._path.rename(self._blobs.folder / self.layer.digest.blob_name)
            sync_folder(self._blobs.folder)
            self._forget_states()

    def discard(self) -> None:
        """Remove it with all its parts."""
        self._path.unlink(missing_ok=True)
        self._forget_states()

    def close(self) -> None:
        """Let go of it; what is here stays for the next one."""
        for state_fd in self._state_fds.values():
            os.close(state_fd)
        self._state_fds.clear()
        os.close(self._fd)

    @property
    def _path(self) -> Path:
        return partial_path(self._blobs, self.layer)

    def _frontier(self) -> int:
        """Return how many bytes have arrived without a gap."""
        for part in self.parts:
            if not part.is_whole:
                return part.next
        return int(self.layer.size)

    def _known_parts(self) -> list[Part]:
        """Return the parts that a former process left, if they make sense together."""
        if os.fstat(self._fd).st_size != self.layer.size:
            return []
        # What cannot be read is fetched again.
        parts = [part for part in map(_read_state, self._state_paths()) if part]
        parts.sort(key=lambda part: part.begin)
        ends = [0, *(part.end for part in parts)]
        numbers = {part.number for part in parts}
        is_sound = len(numbers) == len(parts) and all(
            end <= part.begin and part.size > 0 and part.completed <= part.size
            for end, part in zip(ends, parts, strict=False)
        )
        return parts if is_sound and ends[-1] <= self.layer.size else []

    def _state_paths(self) -> list[Path]:
        return list(self._blobs.folder.glob(f"{self._path.name}-*"))

    def _forget_states(self) -> None:
        for state_fd in self._state_fds.values():
            os.close(state_fd)
        self._state_fds.clear()
        for path in self._state_paths():
            path.unlink(missing_ok=True)

    def _write_state(self, part: Part) -> None:
        state = {"N": part.number, "Offset": part.begin, "Size": part.size}
        text = json.dumps(state | {"Completed": part.completed}).encode().ljust(_STATE_LENGTH)
        state_fd = self._state_fds.get(part.number)
        if state_fd is None:
            path = self._path.with_name(f"{self._path.name}-{part.number}")
            state_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            os.ftruncate(state_fd, 0)  # Ollama's states are shorter
            self._state_fds[part.number] = state_fd
        os.pwrite(state_fd, text, 0)
        if part.is_whole:
            os.close(self._state_fds.pop(part.number))


def partial_path(blobs: Blobs, layer: Layer) -> Path:
    """Return where a blob is while it arrives."""
    return blobs.folder / f"{layer.digest.blob_name}-partial"


def try_open(blobs: Blobs, layer: Layer) -> Partial | None:
    """Open a blob that arrives, or nothing if another process or task is fetching it."""
    path = partial_path(blobs, layer)
    with disk_errors(blobs.folder.parent):
        blobs.folder.mkdir(parents=True, exist_ok=True)
        blob_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        is_ours = try_lock(blob_fd) is not Lock.THEIRS
        if is_ours and _is_still(path, blob_fd):
            return Partial(blobs, layer, blob_fd)
        os.close(blob_fd)
    return None  # or it was finished between the two lines, and is a blob now


def arrived(blobs: Blobs, layer: Layer) -> Size:
    """Return how much of a blob is here that somebody else is fetching."""
    states = map(_read_state, blobs.folder.glob(f"{layer.digest.blob_name}-partial-*"))
    return Size(min(sum(part.completed for part in states if part), layer.size))


def _read_state(path: Path) -> Part | None:
    """Read how far a part is, as Ollama and puna write it."""
    with suppress(OSError, BadJson):
        state = parse_json(path.read_bytes()[:_MOST_STATE], limit=_MOST_STATE)
        if isinstance(state, dict):
            numbers = [state.get(name) for name in ("N", "Offset", "Size", "Completed")]
            found = [each for each in numbers if type(each) is int and each >= 0]
            if len(found) == len(numbers):
                return Part(*found)
    return None


def _is_still(path: Path, blob_fd: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(blob_fd)
    return (found.st_ino, found.st_dev) == (ours.st_ino, ours.st_dev)


def _filled(known: list[Part], total: int, part_size: int) -> list[Part]:
    """Return the known parts with new ones in the gaps between them."""
    parts: list[Part] = []
    number = max((part.number for part in known), default=-1) + 1
    for part in [*known, Part(-1, total, 0)]:
        at = parts[-1].end if parts else 0
        while at < part.begin:
            size = min(part_size, part.begin - at)
            parts.append(Part(number, at, size))
            at, number = at + size, number + 1
        if part.size:
            parts.append(part)
    return parts
