"""A model on its way into the store: first its blobs, then, when all are there, its manifest.

Whatever a draft writes or relies on is claimed first, so that no other process prunes it.
Publishing checks again, under the lock, that every blob is there. A draft that is not published
leaves complete blobs, which a later prune collects, and nothing half-written.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from puna.library.blobs import Blobs, DigestMismatch, Incoming, partial_name
from puna.library.claims import Claim
from puna.library.disk import MORE_ROOM, StoreFull, disk_errors, free_room
from puna.models.digest import Digest, digest_of, digest_of_file
from puna.units import Size
from puna.world import World

_SPARE = Size(16 << 20)
"""Room that a disk needs for the rest: manifests, folders, journals."""


class Draft:
    """The blobs of one model while they are put together. Blocks; not for two threads at once."""

    def __init__(
        self,
        blobs: Blobs,
        claim: Claim,
        *,
        scratch: Path,
        locked: Callable[[], AbstractContextManager[None]],
        world: World,
    ) -> None:
        self._blobs = blobs
        self._claim = claim
        self._locked = locked
        self._world = world
        self._store = blobs.folder.parent
        self.scratch = scratch
        """A folder on the store's disk that is removed with the draft."""

    def keep(self, digest: Digest, size: int) -> bool:
        """Claim a blob that may be there already; tell whether it is, with this size."""
        self._protect(digest.blob_name)
        is_here = self._blobs.size(digest) == size
        if is_here:
            self._blobs.refresh(digest)
        return is_here

    def write(self, content: bytes) -> Digest:
        """Put a small blob into the store, if it is not there. Raises `StoreFull` and its kin."""
        digest = digest_of(content)
        if not self.keep(digest, len(content)):
            with self.receive(digest) as incoming:
                incoming.write(content)
        return digest

    @contextmanager
    def receive(self, want: Digest) -> Iterator[Incoming]:
        """Take in a blob piece by piece; at the end of the block it is checked and kept.

        Raises `DigestMismatch` at the end; after any error nothing of it stays.
        """
        token = self._world.token() + self._world.token()
        self._protect(want.blob_name, partial_name(token))
        with disk_errors(self._store):
            incoming = self._blobs.receive(token)
        with incoming:
            yield incoming
            with disk_errors(self._store):
                incoming.commit(want)

    def adopt(self, source: Path, digest: Digest, size: int) -> None:
        """Put the file `source` into the store: by a second name for it, or else by a copy.

        Either way its digest is computed first: the store holds no file that it has not checked.
        """
        if self.keep(digest, size):
            return
        if self._blobs.can_link(source):
            found = digest_of_file(source)
            if found != digest:
                raise DigestMismatch(want=digest, got=found)
            with disk_errors(self._store):
                if self._blobs.link(source, digest):
                    return
        self.ensure_room(size)
        with self.receive(digest) as incoming:
            incoming.write_from(source)

    def ensure_room(self, size: int) -> None:
        """Raise `StoreFull` unless `size` bytes more fit on the store's disk."""
        with disk_errors(self._store):
            free = free_room(self.scratch)
        if free < size + _SPARE:
            raise StoreFull(
                f"store {self._store} is too full: {Size(size)} needed, {free} free",
                hint=MORE_ROOM,
            )

    def _protect(self, *names: str) -> None:
        with disk_errors(self._store), self._locked():
            for name in names:
                self._claim.add(name)
