"""Claims: which blobs somebody is using for a model whose manifest is not written yet.

A download takes hours; the store's lock cannot be held that long, and without protection the blobs
that have arrived look unused to every other process. So a writer lists the names of its files in a
claim, `<store>/.puna/claims/<token>`, and keeps that file locked as long as it lives. Who removes
blobs reads all claims first. A claim that is not locked belongs to a dead process: it protects
nothing, and what its owner left half-written is removed at once.

On a file system without locks nobody can tell the living from the dead; there a claim counts for a
day.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from puna.library.lock import Lock, try_lock

_WITHOUT_LOCKS = timedelta(days=1)


class Claim:
    """One writer's list of names in `blobs/`, alive as long as its process."""

    def __init__(self, path: Path, claim_fd: int) -> None:
        self._path = path
        self._fd = claim_fd

    @property
    def token(self) -> str:
        """The claim's own name."""
        return self._path.name

    def add(self, name: str) -> None:
        """Protect one more file of `blobs/`. Call it under the store's lock."""
        os.write(self._fd, f"{name}\n".encode())

    def release(self) -> None:
        """Protect nothing any more."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class FoundClaim:
    """A claim as others see it."""

    token: str
    names: frozenset[str]
    is_alive: bool


class Claims:
    """All claims on one store. Every method is called under the store's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, token: str) -> Claim:
        """Start a claim; under the store's lock, nobody sees it before it is locked."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / token
        claim_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try_lock(claim_fd)
        return Claim(path, claim_fd)

    def found(self, now: datetime) -> Iterator[FoundClaim]:
        """Return every claim, of the living and of the dead."""
        paths = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        for path in paths:
            with suppress(FileNotFoundError):
                yield _look_at(path, now)

    def forget(self, claim: FoundClaim) -> None:
        """Remove what a dead process left."""
        (self._folder / claim.token).unlink(missing_ok=True)


def _look_at(path: Path, now: datetime) -> FoundClaim:
    with path.open("rb") as file:
        names = frozenset(file.read().decode("ascii", "replace").split())
        state = try_lock(file.fileno())
        age = now - datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    lives = state is Lock.THEIRS or (state is Lock.UNSUPPORTED and age < _WITHOUT_LOCKS)
    return FoundClaim(path.name, names, lives)
