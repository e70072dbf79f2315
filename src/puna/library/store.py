"""A store: models on this disk, in Ollama's layout, shared with other programs.

An existing Ollama store works in place. What puna adds lies in `<store>/.puna`: the lock, the
claims of writers (claims.py) and their scratch folders. The promise: no process of puna removes
what another needs, a manifest is written when all its blobs are there and not before, and reading
needs no lock and no permission to write.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from puna.errors import NotFound, PunaError
from puna.library.blobs import (
    BlobDamaged,
    BlobFile,
    BlobMissing,
    Blobs,
    is_partial,
    is_partial_download,
)
from puna.library.claims import Claims, FoundClaim
from puna.library.disk import disk_errors, remove_tree
from puna.library.draft import Draft
from puna.library.lock import exclusive
from puna.library.manifests import ManifestFile, Manifests, UnreadableManifest
from puna.library.recast_folder import RecastFolder
from puna.library.seals import Seals
from puna.models.digest import Digest, InvalidDigest
from puna.models.manifest import DamagedManifest, Manifest
from puna.models.name import DEFAULT_TAG, ModelName
from puna.units import Size
from puna.world import World

NOTHING = Size(0)
YOUNG = timedelta(hours=1)
"""What is younger is not pruned: another program, which knows no claims, may be about to use it."""
RESUMABLE = timedelta(days=7)
"""How long a download that was broken off can be taken up again."""

_DIGESTS = re.compile(rb"sha256[:-]([0-9a-fA-F]{64})")


class ModelNotFound(NotFound):
    """No model has this name here."""

    code = "model_not_found"

    def __init__(self, name: ModelName, *, typed: str = "", hint: str = "") -> None:
        shown = typed or name.shortest.removesuffix(f":{DEFAULT_TAG}")
        super().__init__(f"model '{shown}' not found", hint=hint)


@dataclass(frozen=True, slots=True)
class Removed:
    """A model that was removed, and the room that this made."""

    name: ModelName
    freed: Size


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning removed; `skipped` says why it removed nothing."""

    files: int = 0
    freed: Size = NOTHING
    skipped: str = ""


class ModelStore:
    """The models below `root`, which need not exist yet. All methods block, none for long."""

    def __init__(self, root: Path, world: World) -> None:
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.seals = Seals(self.blobs)
        self.manifests = Manifests(root / "manifests")
        self._own = root / ".puna"
        self._claims = Claims(self._own / "claims")
        self._world = world
        self.recast_folder = RecastFolder(root)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """Start a model: put its blobs into the draft, then `publish` it within the block."""
        with self._locked():
            self._bury_the_dead()
            claim = self._claims.open(self._world.token())
        scratch = self._own / "scratch" / claim.token
        try:
            with disk_errors(self.root):
                scratch.mkdir(parents=True)
            yield Draft(self.blobs, claim, scratch=scratch, locked=self._locked, world=self._world)
        finally:
            with suppress(OSError):  # pip may still write there; the next draft tries again
                remove_tree(scratch)
            claim.release()

    def publish(self, draft: Draft, name: ModelName, manifest: Manifest) -> ModelName:
        """Make the draft the model `name`; return the name as stored (an existing case stays).

        Raises `BlobMissing` if a blob is not there. Blobs that only the model's former manifest
        used are removed.
        """
        with self._locked():
            for layer in manifest.blobs:
                if self.blobs.size(layer.digest) != layer.size:
                    raise BlobMissing(f"blob {layer.digest} of {name} is not in the store")
            former = self.manifests.find(name)
            stored = former.name if former else name
            unused = _blobs_named_in(self._raw(former)) if former else frozenset()
            self.manifests.write(stored, manifest, scratch=draft.scratch)
            self._remove_unused(unused)
        return stored

    def remove(self, name: ModelName, *, typed: str = "") -> Removed:
        """Remove a model and the blobs that no other model uses. Raises `ModelNotFound`.

        A damaged model can be removed too. Where a manifest cannot be read at all, blobs stay,
        because it may need them.
        """
        self._find(name, typed)  # or the lock would be asked for, perhaps of a read-only store
        with self._locked():
            found = self._find(name, typed)  # another process may have been quicker
            names = _blobs_named_in(self._raw(found))
            self.manifests.remove(found)
            return Removed(found.name, self._remove_unused(names))

    def check(self, path: Path) -> None:
        """Raise `BlobDamaged` if a file is a blob of this store and not what its name says.

        Blocks: for as long as it takes to read the blob if that was never done, or not since it
        was last written to; else not at all.
        """
        if path.parent != self.blobs.folder:
            return
        with suppress(InvalidDigest):
            digest = Digest(path.name)
            if not self.seals.is_whole(digest):
                raise BlobDamaged(digest)

    def prune(self) -> Pruned:
        """Remove old files in `blobs/` that no model uses, as Ollama does at its start.

        Nothing is removed when a manifest is damaged or the store cannot be written; `skipped`
        says so.
        """
        if not self.blobs.folder.is_dir():
            return Pruned()
        try:
            with self._locked():
                return self._prune()
        except PunaError as error:
            return Pruned(skipped=error.message)

    def remove_unused(self, digests: Iterable[Digest]) -> Size:
        """Remove those of some blobs that no model names and nobody holds."""
        with self._locked():
            return self._remove_unused(frozenset(digest.blob_name for digest in digests))

    def _prune(self) -> Pruned:
        held = self._bury_the_dead()
        self.blobs.rename_old_style()
        for file in self.manifests.files(strict=True):
            self.manifests.read(file)
        unused = prunable(self.blobs.files(), used=self._used(), held=held, now=self._world.now())
        freed = Size(sum(self.blobs.remove(file.name) for file in unused))
        self.seals.forget_removed()
        self.recast_folder.forget_removed()
        self.manifests.remove_empty_folders()
        return Pruned(len(unused), Size(freed))

    def _remove_unused(self, names: frozenset[str]) -> Size:
        held = self._bury_the_dead()
        try:
            unused = names - self._used() - held
        except (UnreadableManifest, DamagedManifest):
            return Size(0)  # it may need them: a later prune decides
        freed = Size(sum(self.blobs.remove(name) for name in sorted(unused)))
        self.recast_folder.forget_removed()
        return freed

    def _used(self) -> frozenset[str]:
        """Return the names of all blobs that a manifest names. Raises `UnreadableManifest`."""
        return frozenset(
            name
            for file in self.manifests.files(strict=True)
            for name in _blobs_named_in(self.manifests.read_raw(file))
        )

    def _find(self, name: ModelName, typed: str) -> ManifestFile:
        found = self.manifests.find(name)
        if found is None:
            raise ModelNotFound(name, typed=typed)
        return found

    def _raw(self, file: ManifestFile) -> bytes:
        try:
            return self.manifests.read_raw(file)
        except (UnreadableManifest, DamagedManifest):
            return b""

    def _bury_the_dead(self) -> frozenset[str]:
        """Clear up after processes that died; return what the living protect."""
        claims = tuple(self._claims.found(self._world.now()))
        living = [claim for claim in claims if claim.is_alive]
        for claim in claims:
            if not claim.is_alive:
                with suppress(OSError):
                    self._bury(claim)
        tokens = {claim.token for claim in living}
        for scratch in (self._own / "scratch").glob("*"):
            if scratch.name not in tokens:
                with suppress(OSError):
                    remove_tree(scratch)
        return frozenset(name for claim in living for name in claim.names)

    def _bury(self, claim: FoundClaim) -> None:
        for name in claim.names:
            if is_partial(name):
                self.blobs.remove(name)
        self._claims.forget(claim)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with disk_errors(self.root):
            self._own.mkdir(parents=True, exist_ok=True)
            with exclusive(self._own / "lock"):
                yield


def prunable(
    files: Iterable[BlobFile], *, used: frozenset[str], held: frozenset[str], now: datetime
) -> tuple[BlobFile, ...]:
    """Decide which files of `blobs/` go: those that nobody names, holds, or touched of late."""
    return tuple(
        file
        for file in files
        if file.name not in used
        and file.name not in held
        and file.name.partition("-partial")[0] not in held
        and now - file.changed_at > (RESUMABLE if is_partial_download(file.name) else YOUNG)
    )


def _blobs_named_in(raw: bytes) -> frozenset[str]:
    """Return the blobs that a manifest names, even a damaged one that only looks like it."""
    names = {f"sha256-{digest.decode().lower()}" for digest in _DIGESTS.findall(raw)}
    try:
        manifest = Manifest.parse(raw)
    except DamagedManifest:
        return frozenset(names)
    return frozenset(names | {layer.digest.blob_name for layer in manifest.blobs})
