"""The folder of names: `manifests/<host>/<namespace>/<model>/<tag>`, exactly four levels.

A manifest keeps the bytes that it came with, because its digest is the model's id. What is not a
manifest is passed over: other depths, names that the grammar does not allow, and links that lead
out of the folder, so that a name can never reach a file elsewhere. Names are found whatever their
case, and the stored case is the one that counts.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from puna.errors import Denied, Failed, Invalid, PunaError
from puna.library.disk import write_whole
from puna.models.manifest import MAX_MANIFEST, DamagedManifest, Manifest
from puna.models.name import InvalidName, ModelName
from puna.models.regular_file import UnusableFile, open_regular

_DEPTH = 4


class AmbiguousName(Invalid):
    """Several stored names differ from this one, and from each other, in case only."""

    code = "ambiguous_name"


class UnsafeStore(Denied):
    """A link inside the store leads out of it, and puna does not write through such a link."""

    code = "unsafe_store"


class UnreadableManifest(Failed):
    """A manifest is there and the system does not let us read it."""

    code = "unreadable_manifest"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest on disk that has not been read yet."""

    name: ModelName
    path: Path
    modified_at: datetime


class Manifests:
    """Model names and their manifests. Reading needs no lock; who writes holds the store's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, *, strict: bool = False) -> Iterator[ManifestFile]:
        """Return every manifest, in no order.

        With `strict`, raise `UnreadableManifest` where something may hide manifests from us (a
        folder without permission, a link out of the store): what they name must not be removed.
        """
        yield from self._walk((), strict=strict)

    def find(self, name: ModelName) -> ManifestFile | None:
        """Return the manifest of `name`, whatever the case.

        Raises `AmbiguousName`, and `UnreadableManifest` if a folder on the way cannot be read or is
        a link out of the store.
        """
        found = list(self._walk(name.path_parts, strict=True))
        exact = [file for file in found if file.name.path_parts == name.path_parts]
        if exact or len(found) == 1:
            return (exact or found)[0]
        if found:
            names = " and ".join(sorted(f'"{file.name.shortest}"' for file in found))
            raise AmbiguousName(
                f'name "{name.shortest}" matches {names}', hint="write it exactly as stored"
            )
        return None

    def read(self, file: ManifestFile) -> Manifest:
        """Read one. Raises `DamagedManifest` or `UnreadableManifest`, naming the model."""
        raw = self.read_raw(file)
        try:
            return Manifest.parse(raw)
        except DamagedManifest as error:
            raise DamagedManifest(
                f'model "{file.name.shortest}" has a damaged manifest: {error.message}',
                hint=f"pull or create it again, or remove it with `puna rm {file.name.shortest}`",
            ) from error

    def read_raw(self, file: ManifestFile) -> bytes:
        """Return the bytes of one. Raises `DamagedManifest` or `UnreadableManifest`."""
        name = file.name.shortest
        try:
            with open_regular(file.path) as opened:
                raw = opened.read(MAX_MANIFEST + 1)
        except (UnusableFile, OSError) as error:
            reason = error.message if isinstance(error, PunaError) else error.strerror
            raise UnreadableManifest(f'manifest of "{name}" cannot be read: {reason}') from error
        if len(raw) > MAX_MANIFEST:
            raise DamagedManifest(
                f'model "{name}" has a manifest of more than {MAX_MANIFEST} bytes'
            )
        return raw

    def write(self, name: ModelName, manifest: Manifest, *, scratch: Path) -> Path:
        """Put a manifest in place, whole or not at all, by way of a new file in `scratch`."""
        path = self.folder.joinpath(*name.path_parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(self.folder.resolve()):
            raise UnsafeStore(f"{path.parent} leads out of the store through a link")
        is_one_disk = scratch.stat().st_dev == path.parent.stat().st_dev
        folder = scratch if is_one_disk else path.parent
        write_whole(path, manifest.raw, temporary=folder / f".{name.tag}.{scratch.name}")
        return path

    def remove(self, file: ManifestFile) -> None:
        """Remove a manifest and the folders that this leaves empty."""
        file.path.unlink(missing_ok=True)
        for folder in list(file.path.parents)[: _DEPTH - 1]:
            with suppress(OSError):
                folder.rmdir()

    def remove_empty_folders(self) -> None:
        """Remove every folder below without a file in it."""
        for folder, _, _ in os.walk(self.folder, topdown=False):
            if Path(folder) != self.folder:
                with suppress(OSError):  # not empty
                    Path(folder).rmdir()

    def _walk(self, wanted: tuple[str, ...], *, strict: bool) -> Iterator[ManifestFile]:
        """Go down four levels, along `wanted` only where it is given."""
        root = self.folder.resolve()
        level = [self.folder]
        for depth in range(_DEPTH):
            want = wanted[depth].lower() if wanted else ""
            level = [
                path
                for folder in level
                for path in _children(folder, root, want=want, strict=strict)
            ]
        for path in level:
            with suppress(InvalidName, OSError):
                host, namespace, model, tag = path.parts[-_DEPTH:]
                state = path.stat()
                if not stat.S_ISDIR(state.st_mode):
                    modified_at = datetime.fromtimestamp(state.st_mtime, UTC)
                    name = ModelName(model=model, tag=tag, namespace=namespace, host=host)
                    yield ManifestFile(name, path, modified_at)


def _children(folder: Path, root: Path, *, want: str, strict: bool) -> Iterator[Path]:
    """Return what lies in a folder, named `want` if that is given, except links out of `root`."""
    try:
        with os.scandir(folder) as entries:
            children = [entry for entry in entries if not want or entry.name.lower() == want]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if strict:
            raise UnreadableManifest(f"{folder} cannot be read: {error.strerror}") from error
        return
    for entry in children:
        path = Path(entry.path)
        if not entry.is_symlink() or _stays_inside(path, root):
            yield path
        elif strict:
            raise UnreadableManifest(f"{path} is a link that leads out of the store")


def _stays_inside(link: Path, root: Path) -> bool:
    with suppress(OSError, RuntimeError):
        return link.resolve(strict=True).is_relative_to(root)
    return False
