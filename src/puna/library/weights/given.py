"""The files that a new model is given become layers: converted, put together, quantized.

What a file is, its own header says, never its name; only what is no GGUF file is told by its name.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from puna.errors import Invalid, NotFound
from puna.library.draft import Draft
from puna.library.local import Facts, LocalModel
from puna.library.store import ModelStore
from puna.library.weights.convert import converted
from puna.library.weights.made import CannotConvert, Made
from puna.library.weights.quantize import plan_quantizing, quantized
from puna.library.weights.split import Part, is_part, models_of, put_together
from puna.models.digest import Digest
from puna.models.gguf import GgufHeader
from puna.models.manifest import Layer, MediaType
from puna.models.mix import Level
from puna.progress import Progress, Step
from puna.text import one_line
from puna.units import Size

Making = Generator[Progress, None, list[Layer]]


class BlobNotUploaded(NotFound):
    """A recipe names a blob that is not in the store."""

    code = "blob_not_uploaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a new model's weights are made of: files, by relative name and digest, and levels."""

    files: Mapping[str, Digest] = field(default_factory=dict)
    adapters: Mapping[str, Digest] = field(default_factory=dict)
    drafts: Mapping[str, Digest] = field(default_factory=dict)
    level: Level | None = None
    draft_level: Level | None = None


class Workshop:
    """Makes layers of given files. Blocks; what it makes is in the store and claimed."""

    def __init__(self, store: ModelStore, draft: Draft, facts: Facts) -> None:
        self._store = store
        self._draft = draft
        self._facts = facts
        self.made: list[Digest] = []
        """What was made here, in order; some of it only to make more of it."""

    def layers(self, given: Given, base: LocalModel | None) -> Making:
        """Make and return the layers, and tell each step.

        Raises `BlobNotUploaded`, `BadGguf`, `PartMissing`, `AlreadyQuantized`, `CannotConvert`,
        `Invalid` for other files that are wrong, and what the disk does.
        """
        found = yield from self._models(given.files)
        if sum(layer.media_type == MediaType.MODEL for layer in found) > 1:
            raise Invalid(
                "several of the files are weights", hint="a model has one file of weights"
            )
        adapters = yield from self._adapters(given.adapters, found, base)
        drafts = yield from self._drafts(given)
        if given.level is not None:
            found = yield from self._quantized(found, base, given.level)
        return [*found, *adapters, *drafts]

    def _models(self, files: Mapping[str, Digest]) -> Making:
        """Return the layers of models and projectors: converted, put together, or as they are."""
        if not _is_safetensors(files):
            return (yield from self._ggufs(files))
        ready = {name: digest for name, digest in files.items() if name.endswith(".gguf")}
        layers = (yield from self._ggufs(ready)) if ready else []
        others = {name: files[name] for name in files.keys() - ready.keys()}
        made = yield from converted(self._paths(others), self._draft)
        return [self._new(MediaType.MODEL, made), *layers]

    def _ggufs(self, files: Mapping[str, Digest]) -> Making:
        if files:
            yield Step("parsing GGUF")
        headers = {name: self._header(name, digest) for name, digest in files.items()}
        whole = [name for name, header in headers.items() if not is_part(header)]
        layers = [self._layer(name, files[name], _kind_of(headers[name])) for name in whole]
        parts = [Part(name, header) for name, header in headers.items() if name not in whole]
        for some in models_of(parts):
            made = yield from put_together(some, self._draft)
            layers.append(self._new(_kind_of(some[0].header), made))
        if any(layer.media_type == MediaType.MODEL for layer in layers):
            yield Step("validating GGUF model")
            for layer in layers:
                self._facts.header(self._store.blobs.path(layer.digest))
        return layers

    def _adapters(
        self, files: Mapping[str, Digest], models: Sequence[Layer], base: LocalModel | None
    ) -> Making:
        if _is_safetensors(files):
            paths = self._weights(models, base)
            if not paths:
                raise Invalid("an adapter needs the model that it is for", hint="name it in FROM")
            header = self._facts.header(paths[0])
            made = yield from converted(self._paths(files), self._draft, base=header)
            return [self._new(MediaType.ADAPTER, made)]
        layers = yield from self._ggufs(files)
        for name, layer in zip(files, layers, strict=True):
            if layer.media_type != MediaType.ADAPTER:
                raise Invalid(
                    f"{one_line(name, 100)} is no adapter: its general.type is not adapter"
                )
        return layers

    def _drafts(self, given: Given) -> Making:
        layers = yield from self._models(given.drafts)
        for layer in layers:
            if layer.media_type != MediaType.MODEL:
                names = ", ".join(given.drafts)
                raise Invalid(f"{one_line(names, 100)} is no model that could guess ahead")
        if given.draft_level is not None:
            layers = yield from self._quantized(layers, None, given.draft_level)
        return [Layer(MediaType.DRAFT, layer.digest, layer.size) for layer in layers]

    def _quantized(self, layers: Sequence[Layer], base: LocalModel | None, level: Level) -> Making:
        """Return the layers, with the weights (given, or of the other model) at this level."""
        weights = [layer for layer in layers if layer.media_type == MediaType.MODEL]
        others = [layer for layer in layers if layer.media_type != MediaType.MODEL]
        for path in self._weights(layers, base):
            plan = plan_quantizing(self._facts.header(path), level)
            if plan is not None:
                made = yield from quantized(plan, self._draft)
                weights = [self._new(MediaType.MODEL, made)]
        return [*weights, *others]

    def _weights(self, layers: Sequence[Layer], base: LocalModel | None) -> list[Path]:
        """Return the file of the weights, given or of the other model."""
        weights = [layer for layer in layers if layer.media_type == MediaType.MODEL]
        paths = [self._store.blobs.path(layer.digest) for layer in weights]
        return paths or ([base.weights] if base else [])

    def _paths(self, files: Mapping[str, Digest]) -> Mapping[str, Path]:
        """Return where files lie, which nobody prunes meanwhile."""
        for name, digest in files.items():
            self._claim(name, digest)
        return {name: self._store.blobs.path(digest) for name, digest in files.items()}

    def _header(self, name: str, digest: Digest) -> GgufHeader:
        shown = one_line(name, 100)
        self._claim(name, digest)
        if PurePosixPath(name).suffix in {".bin", ".pth"}:
            raise CannotConvert(
                f"{shown} holds weights as PyTorch writes them, which puna does not read",
                hint="take the model's safetensors files, or a GGUF of it",
            )
        return self._facts.header(self._store.blobs.path(digest))

    def _new(self, kind: MediaType, made: Made) -> Layer:
        self.made.append(made.digest)
        return Layer(kind, made.digest, made.size)

    def _layer(self, name: str, digest: Digest, kind: MediaType) -> Layer:
        return Layer(kind, digest, self._claim(name, digest))

    def _claim(self, name: str, digest: Digest) -> Size:
        """Have nobody prune a blob meanwhile, and return its size."""
        size = self._store.blobs.size(digest)
        if size is None or not self._draft.keep(digest, size):
            raise BlobNotUploaded(
                f"blob {digest} of {one_line(name, 100)} is not in the store",
                hint=f"send it first, with POST /api/blobs/{digest}",
            )
        return size


def _is_safetensors(files: Mapping[str, Digest]) -> bool:
    return any(name.endswith(".safetensors") for name in files)


def _kind_of(header: GgufHeader) -> MediaType:
    if header.architecture == "clip":
        return MediaType.PROJECTOR
    if header.metadata.get("general.type") == "adapter":
        return MediaType.ADAPTER
    return MediaType.MODEL
