"""The list of blobs that make a model, as registries and the store keep it.

The identity of a model is the sha256 of its manifest's bytes, so a `Manifest` keeps the bytes that
it was read from. What it says is checked while it is read: digests are digests, sizes are sizes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from puna.errors import Failed, Invalid
from puna.models.digest import Digest, digest_of
from puna.models.strict_json import BadJson, JsonValue, parse_json
from puna.units import Size

MAX_MANIFEST = 2**23
"""The most bytes of a manifest; one with a layer for each of a thousand tensors has 200 KB."""
MAX_CONFIG = 2**23
"""The most bytes of a config; old ones hold a digest for each layer."""
MAX_BLOB = 2**62
"""The most bytes of one blob, so that sums stay far from the end of 64 bits."""


class DamagedManifest(Failed):
    """A manifest or a config is not what it should be; the message says in which way."""

    code = "damaged_manifest"


class MediaType(StrEnum):
    """What a blob holds. Others exist and are carried along."""

    MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    CONFIG = "application/vnd.docker.container.image.v1+json"
    MODEL = "application/vnd.ollama.image.model"
    PROJECTOR = "application/vnd.ollama.image.projector"
    ADAPTER = "application/vnd.ollama.image.adapter"
    DRAFT = "application/vnd.ollama.image.draft"
    TEMPLATE = "application/vnd.ollama.image.template"
    PROMPT = "application/vnd.ollama.image.prompt"
    SYSTEM = "application/vnd.ollama.image.system"
    PARAMS = "application/vnd.ollama.image.params"
    MESSAGES = "application/vnd.ollama.image.messages"
    LICENSE = "application/vnd.ollama.image.license"
    TENSOR = "application/vnd.ollama.image.tensor"
    JSON = "application/vnd.ollama.image.json"
    EMBED = "application/vnd.ollama.image.embed"


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model: what it is, which, and how long."""

    media_type: str
    digest: Digest
    size: Size
    source: str | None = None
    """The model that it was taken from; `from` in JSON."""
    name: str | None = None
    """The name of a tensor or of a configuration file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The blobs of a model, with the exact bytes that listed them."""

    config: Layer
    layers: tuple[Layer, ...]
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a manifest. Raises `DamagedManifest`."""
        value = _object(_parsed(raw, "the manifest", MAX_MANIFEST), "the manifest")
        if value.get("schemaVersion", 2) != 2:  # noqa: PLR2004 - the only version there is
            raise DamagedManifest("the manifest is not of version 2")
        config = _layer(value.get("config"), "the config", media_type=MediaType.CONFIG)
        listed = value.get("layers")
        if not isinstance(listed, list | None):
            raise DamagedManifest("the layers are not a list")
        layers = tuple(_layer(item, f"layer {at}") for at, item in enumerate(listed or (), 1))
        if len({(each.digest, each.size) for each in (config, *layers)}) > len(
            {each.digest for each in (config, *layers)}
        ):
            raise DamagedManifest("the manifest gives one blob two sizes")
        return cls(config, layers, raw)

    @property
    def digest(self) -> Digest:
        """The model's identity."""
        return digest_of(self.raw)

    @property
    def size(self) -> Size:
        """The bytes of all layers and the config, as `puna list` shows them."""
        return Size(self.config.size + sum(layer.size for layer in self.layers))

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Every blob once: the layers in their order, then the config."""
        return tuple({layer.digest: layer for layer in (*self.layers, self.config)}.values())

    def layers_of(self, *media_types: MediaType) -> tuple[Layer, ...]:
        """Return the layers of some kinds, in their order."""
        return tuple(layer for layer in self.layers if layer.media_type in media_types)


def make_manifest(config: Layer, layers: Iterable[Layer]) -> Manifest:
    """Return a new manifest, with the bytes that stand for it from now on."""
    listed = tuple(layers)
    value = {
        "schemaVersion": 2,
        "mediaType": MediaType.MANIFEST,
        "config": _layer_json(config),
        "layers": [_layer_json(layer) for layer in listed],
    }
    raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    return Manifest(config, listed, raw.encode("utf-8"))


@dataclass(frozen=True, slots=True)
class ConfigBlob:
    """What a manifest's config says of the model. A field that is absent is empty."""

    model_format: str = ""
    model_family: str = ""
    model_families: tuple[str, ...] = ()
    model_type: str = ""
    """The parameter count in words, such as `8.0B`."""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    base_name: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a config; fields that nobody knows are left out. Raises `DamagedManifest`."""
        value = _object(_parsed(raw, "the config", MAX_CONFIG), "the config")
        texts = {name: _text(value, name) for name in _CONFIG_TEXTS}
        lists = {name: _texts(value, name) for name in ("model_families", "capabilities")}
        counts = {name: _count(value, name) for name in ("context_length", "embedding_length")}
        return cls(**texts, **lists, **counts)  # type: ignore[arg-type]


_CONFIG_TEXTS = (
    "model_format",
    "model_family",
    "model_type",
    "file_type",
    "renderer",
    "parser",
    "requires",
    "remote_host",
    "remote_model",
    "base_name",
)


def _parsed(raw: bytes, what: str, limit: int) -> JsonValue:
    try:
        return parse_json(raw, limit=limit)
    except BadJson as error:
        raise DamagedManifest(f"{what} cannot be read: {error}") from error


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise DamagedManifest(f"{what} is not an object")
    return value


def _layer(value: JsonValue, what: str, *, media_type: str = "") -> Layer:
    fields = _object(value, what)
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
        raise DamagedManifest(f"{what} has no valid size")
    try:
        digest = Digest.parse(_text(fields, "digest"))
    except Invalid as error:
        raise DamagedManifest(f"{what} has no valid digest") from error
    media_type = _text(fields, "mediaType") or media_type
    if not media_type:
        raise DamagedManifest(f"{what} has no media type")
    source, name = _text(fields, "from"), _text(fields, "name")
    return Layer(media_type, digest, Size(size), source or None, name or None)


def _layer_json(layer: Layer) -> dict[str, str | int]:
    value: dict[str, str | int] = {
        "mediaType": layer.media_type,
        "digest": layer.digest,
        "size": int(layer.size),
    }
    named = {"from": layer.source, "name": layer.name}
    return value | {key: text for key, text in named.items() if text}


def _text(fields: dict[str, JsonValue], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str | None):
        raise DamagedManifest(f'"{name}" is not a text')
    return value or ""


def _texts(fields: dict[str, JsonValue], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if not isinstance(value, list | None):
        raise DamagedManifest(f'"{name}" is not a list of texts')
    texts = [item for item in value or () if isinstance(item, str)]
    if len(texts) != len(value or ()):
        raise DamagedManifest(f'"{name}" is not a list of texts')
    return tuple(texts)


def _count(fields: dict[str, JsonValue], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DamagedManifest(f'"{name}" is not a count')
    return value
