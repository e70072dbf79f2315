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
from puna.library.partial import Partial, arrived, try_open
from puna.library.seals import Seals
from puna.models.digest import Digest, digest_of, digest_of_file
from puna.models.manifest import Layer
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
        self._seals = Seals(blobs)
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
            self._seals.touch(digest)
        return is_here

    def keep_whole(self, layer: Layer) -> bool:
        """Claim a blob, and tell whether it is here and undamaged; a damaged one is removed."""
        if not self.keep(layer.digest, layer.size):
            return False
        if self._seals.is_whole(layer.digest):
            return True
        with disk_errors(self._store):
            self._blobs.path(layer.digest).unlink(missing_ok=True)
        return False

    def partial(self, layer: Layer) -> Partial | None:
        """Open a claimed blob that arrives in parts; nothing while somebody else fetches it."""
        return try_open(self._blobs, layer)

    def arrived(self, layer: Layer) -> Size:
        """Return how much of a blob has arrived, whoever fetches it."""
        return layer.size if self.is_here(layer) else arrived(self._blobs, layer)

    def is_here(self, layer: Layer) -> bool:
        """Tell whether a blob is whole by now."""
        return self._blobs.size(layer.digest) == layer.size

    def finish(self, partial: Partial) -> None:
        """Check what has arrived and make it a blob. Raises `DigestMismatch`."""
        partial.commit()
        self._seals.put(partial.layer.digest)

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
            self._seals.put(want)

    @contextmanager
    def build(self) -> Iterator[Incoming]:
        """Take in a blob that is made here: its content gives it its digest, after the block.

        After any error nothing of it stays.
        """
        token = self._world.token() + self._world.token()
        self._protect(partial_name(token))
        with disk_errors(self._store):
            incoming = self._blobs.receive(token)
        with incoming:
            yield incoming
            self._protect(incoming.digest.blob_name)
            with disk_errors(self._store):
                incoming.commit(incoming.digest)
            self._seals.put(incoming.digest)

    def adopt(self, source: Path, digest: Digest, size: int) -> None:
        """Put the file `source` into the store: by a second name for it, or else by a copy.

        Either way its digest is computed first: the store holds no file that it has not checked.
        """
        if self.keep(digest, size):
            return
        if self.link(source, digest, size):
            return
        self.ensure_room(size)
        with self.receive(digest) as incoming:
            incoming.write_from(source)

    def link(self, source: Path, digest: Digest, size: int) -> bool:
        """Give the file `source` a second name in the store, once its digest is computed.

        Tells whether that is possible: on the store's own disk, for a file that all may read.
        """
        if self.keep(digest, size):
            return True
        if not self._blobs.can_link(source):
            return False
        found = digest_of_file(source)
        if found != digest:
            raise DigestMismatch(want=digest, got=found)
        with disk_errors(self._store):
            if not self._blobs.link(source, digest):
                return False
        self._seals.put(digest)
        return True

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
