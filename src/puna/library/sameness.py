"""Find the model that a recipe describes among those that are here already.

A model's id is the digest of its manifest's bytes, and other programs write the same facts with
other bytes: another order of layers, other spaces in JSON, fields of old versions. So that the
Modelfile of a model makes that very model again, a recipe that says nothing new is given the
manifest that is there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from puna.errors import PunaError
from puna.library.local import Contents, LocalModel
from puna.models.digest import Digest
from puna.models.manifest import MediaType

_FILES = (MediaType.MODEL, MediaType.PROJECTOR, MediaType.ADAPTER, MediaType.DRAFT)
_FOLDED = frozenset(
    {
        "model_format",
        "model_families",
        "model_type",
        "file_type",
        "architecture",
        "os",
        "rootfs",
    }
)
"""Fields of a config that follow from the weights, and are spelled by each program as it likes."""
BARE = "{{ .Prompt }}"


@dataclass(frozen=True, slots=True)
class Overlay:
    """Blobs of which some are not written yet."""

    new: Mapping[Digest, bytes]
    below: Contents

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob, which may be missing."""
        return self.below.path(digest)

    def read(self, digest: Digest) -> bytes:
        """Return a small blob whole. Raises `BlobMissing`."""
        return self.new[digest] if digest in self.new else self.below.read(digest)


def same_model(wanted: LocalModel, known: Iterable[LocalModel]) -> LocalModel | None:
    """Return the first of the models that says what `wanted` says. Reads small blobs; blocks."""
    files = _files(wanted)
    return next((each for each in known if _files(each) == files and _agree(wanted, each)), None)


def _files(model: LocalModel) -> tuple[tuple[Digest, ...], ...]:
    layers = model.manifest.layers_of
    return tuple(tuple(layer.digest for layer in layers(kind)) for kind in _FILES)


def _agree(wanted: LocalModel, other: LocalModel) -> bool:
    try:
        return _texts(wanted) == _texts(other) and _config_agrees(wanted, other)
    except PunaError:  # it is damaged, and what it says is not known
        return False


def _texts(model: LocalModel) -> tuple[object, ...]:
    template = (model.template or BARE).strip() or BARE
    return (
        BARE if template == BARE else model.template,
        model.system,
        tuple(text for text in model.licenses if text),
        dict(model.parameters),
        model.messages,
    )


def _config_agrees(wanted: LocalModel, other: LocalModel) -> bool:
    ours, theirs = wanted.config, other.config
    if (ours.renderer, ours.parser, ours.requires) != (
        theirs.renderer,
        theirs.parser,
        theirs.requires,
    ):
        return False
    there = _fields(other)
    return all(
        there.get(name) == value or (name == "model_family" and not there.get(name))
        for name, value in _fields(wanted).items()
    )


def _fields(model: LocalModel) -> dict[str, object]:
    value = json.loads(model.contents.read(model.manifest.config.digest))
    return {name: each for name, each in value.items() if name not in _FOLDED}
