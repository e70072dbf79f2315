"""A model on this machine, wherever it lies: in the store, in a package, in a file.

To list a model costs its manifest only. Everything deeper (texts, the weights' header) is read
when asked for, so that one bad blob spoils one answer and no other. What was learnt from a header
is kept by path, time and size of the file (`Facts`), since lists ask for it again and again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from puna.chat.messages import Message, Role
from puna.errors import Failed, PunaError, Unsupported
from puna.library.blobs import MAX_TEXT
from puna.models.digest import Digest
from puna.models.manifest import ConfigBlob, Manifest, MediaType
from puna.models.name import ModelName
from puna.models.strict_json import BadJson, JsonValue, parse_json
from puna.units import Size

if TYPE_CHECKING:  # `puna list` reads no weights, and has no time to load what reads them
    from puna.models.details import ModelDetails
    from puna.models.gguf import GgufHeader


class DamagedLayer(Failed):
    """A text of a model is not what its kind says."""

    code = "damaged_layer"


class Origin(StrEnum):
    """Where a model lies."""

    STORE = "store"
    PACKAGE = "package"
    FILE = "file"


class Contents(Protocol):
    """Where the blobs of a model are."""

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob, which may be missing."""

    def read(self, digest: Digest) -> bytes:
        """Return a small blob whole. Raises `BlobMissing`."""


FileKey = tuple[str, int, int, int]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Facts:
    """What the headers of GGUF files say, remembered as long as the files do not change."""

    def __init__(self, *, headers: int = 16, details: int = 4096) -> None:
        self._headers: dict[FileKey, GgufHeader] = {}
        self._details: dict[tuple[object, ...], ModelDetails] = {}
        self._most_headers = headers
        self._most_details = details

    def header(self, path: Path) -> "GgufHeader":
        """Return the header of a file. Raises `BadGguf`."""
        from puna.models.gguf import read_header  # noqa: PLC0415 - see above

        key = _file_key(path)
        header = self._headers.get(key)
        if header is None:
            header = read_header(path)
            _remember(self._headers, key, header, most=self._most_headers)
        return header

    def details(self, weights: Path, projectors: tuple[Path, ...], template: str) -> "ModelDetails":
        """Return the details of a model. Raises `BadGguf`."""
        from puna.models.details import details_of  # noqa: PLC0415 - see above

        key = (_file_key(weights), tuple(_file_key(path) for path in projectors), template)
        details = self._details.get(key)
        if details is None:
            parts = [self.header(path) for path in projectors]
            details = details_of(
                self.header(weights), go_template=template or None, projectors=parts
            )
            _remember(self._details, key, details, most=self._most_details)
        return details


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that can be used now."""

    name: ModelName
    manifest: Manifest
    modified_at: datetime
    contents: Contents = field(repr=False, compare=False)
    facts: Facts = field(repr=False, compare=False)
    origin: Origin = Origin.STORE
    package: str = ""
    """The distribution that a bundled model belongs to."""
    file: Path | None = None
    """The file that an unstored model is."""

    @property
    def label(self) -> str:
        """The model as people see it: its shortest name, or the file."""
        return str(self.file) if self.file else self.name.shortest

    @property
    def digest(self) -> Digest:
        """The model's id: `.hex` has 64 digits, `.short` the 12 that lists show."""
        return self.manifest.digest

    @property
    def size(self) -> Size:
        """All bytes of the model: layers and config."""
        return self.manifest.size

    @property
    def weights(self) -> Path:
        """The GGUF file of the weights. Raises `Unsupported` for a model of another kind."""
        paths = self._paths(MediaType.MODEL)
        if not paths:
            raise Unsupported(
                f'model "{self.label}" has no GGUF weights',
                hint="puna runs models in GGUF format; remote and safetensors models it does not",
            )
        return paths[0]

    @property
    def projectors(self) -> tuple[Path, ...]:
        """The files of its image and audio parts."""
        return self._paths(MediaType.PROJECTOR)

    def projector(self) -> "GgufHeader | None":
        """Return the first file that makes tokens of images: a projector, or the weights.

        None for a model that sees none, or whose weights see in a form that is Ollama's alone.
        Raises `BadGguf`, `Unsupported`.
        """
        from puna.models.details import has_encoder  # noqa: PLC0415 - see above

        for path in self.projectors:
            if has_encoder(part := self.facts.header(path), "vision"):
                return part
        weights = self.header()
        return weights if weights.metadata.get("clip.has_vision_encoder") is True else None

    @property
    def draft(self) -> Path | None:
        """The file of its draft model for speculation, if it has one."""
        return next(iter(self._paths(MediaType.DRAFT)), None)

    @property
    def adapters(self) -> tuple[Path, ...]:
        """The files of its adapters."""
        return self._paths(MediaType.ADAPTER)

    def header(self) -> "GgufHeader":
        """Return what the weights file says of itself. Raises `BadGguf`, `Unsupported`."""
        return self.facts.header(self.weights)

    @property
    def details(self) -> "ModelDetails":
        """Family, size, quantization, context and abilities, from the files themselves.

        Raises `BadGguf` or `Unsupported`; see `config` for what the manifest claims.
        """
        return self.facts.details(self.weights, self.projectors, self.template or "")

    @property
    def config(self) -> ConfigBlob:
        """What the config blob says. Raises `BlobMissing` or `DamagedManifest`."""
        return ConfigBlob.parse(self.contents.read(self.manifest.config.digest))

    @property
    def template(self) -> str | None:
        """The Go template, if the model has one of its own. Raises `BlobMissing`."""
        return self._text(MediaType.TEMPLATE, MediaType.PROMPT) or None

    @property
    def system(self) -> str:
        """The system message; empty without one. Raises `BlobMissing`."""
        return self._text(MediaType.SYSTEM)

    @property
    def licenses(self) -> tuple[str, ...]:
        """The licence texts. Raises `BlobMissing`, `DamagedLayer`."""
        texts = (raw.decode("utf-8", "replace") for raw in self._contents(MediaType.LICENSE))
        return tuple(texts)

    @property
    def parameters(self) -> Mapping[str, object]:
        """The model's own options. Raises `BlobMissing`, `DamagedLayer`."""
        parameters: dict[str, object] = {}
        for raw in self._contents(MediaType.PARAMS):
            value = self._json(raw)
            if not isinstance(value, dict):
                raise DamagedLayer(f'the parameters of "{self.label}" are no JSON object')
            parameters |= value
        return parameters

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that it starts with. Raises `BlobMissing`, `DamagedLayer`."""
        return tuple(
            self._message(item)
            for raw in self._contents(MediaType.MESSAGES)
            for item in self._items(raw)
        )

    def _paths(self, kind: MediaType) -> tuple[Path, ...]:
        return tuple(self.contents.path(layer.digest) for layer in self.manifest.layers_of(kind))

    def _text(self, *kinds: MediaType) -> str:
        layers = self.manifest.layers_of(*kinds)
        return self.contents.read(layers[-1].digest).decode("utf-8", "replace") if layers else ""

    def _contents(self, kind: MediaType) -> Iterator[bytes]:
        """Yield the texts of a kind, each once; a list of them may name one a thousand times."""
        left = int(MAX_TEXT)
        for digest in dict.fromkeys(layer.digest for layer in self.manifest.layers_of(kind)):
            raw = self.contents.read(digest)
            left -= len(raw)
            if left < 0:
                what = kind.rpartition(".")[2]
                raise DamagedLayer(f'"{self.label}" has more than {MAX_TEXT} of {what}')
            yield raw

    def _json(self, raw: bytes) -> JsonValue:
        try:
            return parse_json(raw, limit=MAX_TEXT)
        except BadJson as error:
            raise DamagedLayer(f'a layer of "{self.label}" cannot be read: {error}') from error

    def _items(self, raw: bytes) -> list[JsonValue]:
        value = self._json(raw)
        if not isinstance(value, list):
            raise DamagedLayer(f'the messages of "{self.label}" are no JSON list')
        return value

    def _message(self, item: JsonValue) -> Message:
        if isinstance(item, dict) and isinstance(text := item.get("content", ""), str):
            role = item.get("role")
            if role in list(Role):
                return Message(Role(role), text)
        raise DamagedLayer(f'a message of "{self.label}" has no role and content')


@dataclass(frozen=True, slots=True)
class DamagedModel:
    """A model that is there and cannot be used, and why. Without a valid name, `name` is None."""

    name: ModelName | None
    label: str
    error: PunaError


def _file_key(path: Path) -> FileKey:
    try:
        state = path.stat()
    except OSError:
        return str(path), 0, 0, -1  # not there: reading it says so
    return str(path), state.st_mtime_ns, state.st_size, state.st_ino


def _remember(cache: dict[_Key, _Value], key: _Key, value: _Value, *, most: int) -> None:
    if len(cache) >= most:
        cache.clear()  # rarer and simpler than choosing; reading a header takes milliseconds
    cache[key] = value
