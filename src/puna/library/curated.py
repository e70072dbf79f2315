"""The curated list of models, shipped as a file: what to run, how large it is, where it is.

The list answers without a network: `puna search`, `puna browse`, short names such as `bielik`, and
whether a model fits this machine before anything is downloaded. Its sizes are as old as its date;
the manifest that comes with a pull has the true ones. Every row is checked while it is read, so
that a bad edit of the file is found by the first test and never half-believed.
"""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TypeVar

from puna.errors import Failed
from puna.models.details import Capability
from puna.models.listed import (
    BITS,
    Catalog,
    ListedModel,
    ListedShape,
    ListedSize,
    computed_size,
)
from puna.models.name import DEFAULT_HOST, InvalidName, ModelName
from puna.units import Count, Size

_T = TypeVar("_T")
_FILE = "curated.toml"
_MEMORY = "memory"
_SHAPE_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "layers": "block_count",
        "width": "embedding_length",
        "inner": "feed_forward_length",
        "heads": "attention.head_count",
        "kv": "attention.head_count_kv",
        "head": "attention.key_length",
        "value": "attention.value_length",
        "mla_key": "attention.key_length_mla",
        "mla_value": "attention.value_length_mla",
        "window": "attention.sliding_window",
        "vocab": "vocab_size",
        "experts": "expert_count",
        "used": "expert_used_count",
        "expert": "expert_feed_forward_length",
        "shared": "expert_shared_feed_forward_length",
    }
)
"""Words of the file, and the keys of a GGUF header that they stand for."""
_MODEL_KEYS = frozenset(
    {"name", "about", "licence", "languages", "can", "source", "sizes", "verified"}
)
_SIZE_KEYS = frozenset(
    {"tag", "parameters", "quant", "size", "context", "shape"}
    | {"at", "gguf", "licence", "can", "source"}
)


class BadCatalog(Failed):
    """The list that was shipped is damaged; the message says where."""

    code = "bad_catalog"


@cache
def load_catalog() -> Catalog:
    """Return the list that is shipped with puna. Raises `BadCatalog`."""
    return parse_catalog(files("puna.library").joinpath(_FILE).read_text(encoding="utf-8"))


def meant_by(name: ModelName) -> ModelName | None:
    """Return where a short name leads, such as `bielik` to its repository.

    None for every other name, also those of Ollama's library, which mean themselves.
    """
    listed = load_catalog().find(name)
    return listed.name if listed and listed.name.host != DEFAULT_HOST else None


def parse_catalog(text: str) -> Catalog:
    """Read a list. Raises `BadCatalog`, with the row that is wrong."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadCatalog(f"the list of models cannot be read: {error}") from error
    reader = _Reader(
        shapes={name: _shape(name, _table(row, name)) for name, row in _each(table, "shapes")},
        sources={name: _is(str, row, name) for name, row in _each(table, "sources")},
    )
    rows = _is(list, table.get("model"), "model")
    models = tuple(reader.model(_table(row, "a model")) for row in rows)
    names = [model.name for model in models]
    if len(set(names)) != len(names):
        raise BadCatalog("the list of models has a name twice")
    return Catalog(_is(date, table.get("date"), "date"), MappingProxyType(reader.sources), models)


class _Reader:
    """Reads rows, with what they refer to."""

    def __init__(self, shapes: Mapping[str, ListedShape], sources: dict[str, str]) -> None:
        self.shapes = shapes
        self.sources = sources

    def model(self, row: Mapping[str, object]) -> ListedModel:
        name = _is(str, row.get("name"), "name")
        _check_keys(row, _MODEL_KEYS, name)
        languages = _is(list, row.get("languages"), f"{name}: languages")
        sizes = _is(list, row.get("sizes"), f"{name}: sizes")
        listed = ListedModel(
            name=name,
            about=_is(str, row.get("about"), f"{name}: about"),
            languages=tuple(_is(str, each, f"{name}: languages") for each in languages),
            is_verified=_is(bool, row.get("verified", True), f"{name}: verified"),
            sizes=tuple(self._size(row, _table(size, name)) for size in sizes),
        )
        tags = [size.tag for size in listed.sizes]
        if not tags or len(set(tags)) != len(tags):
            raise BadCatalog(f"{name}: it has no sizes, or one twice")
        return listed

    def _size(self, model: Mapping[str, object], own: Mapping[str, object]) -> ListedSize:
        row = {**model, **own}
        where = f"{row['name']}:{row.get('tag')}"
        _check_keys(own, _SIZE_KEYS, where)
        parameters = Count(int(_is(float, row.get("parameters"), f"{where}: parameters")))
        quantization = _known(BITS, row.get("quant"), f"{where}: quant")
        size = _is(int, row.get("size"), f"{where}: size")
        source = _known(self.sources, row.get("source"), f"{where}: source")
        return ListedSize(
            tag=_is(str, row.get("tag"), f"{where}: tag"),
            parameters=parameters,
            quantization=quantization,
            size=Size(size) if size else computed_size(parameters, quantization),
            is_rough=not size or source == _MEMORY,
            context=_is(int, row.get("context"), f"{where}: context"),
            shape=self.shapes[_known(self.shapes, row.get("shape"), f"{where}: shape")],
            name=_name(row.get("at", where), where),
            capabilities=_capabilities(row.get("can"), where),
            licence=_is(str, row.get("licence"), f"{where}: licence"),
            source=source,
            gguf=_is(str, row.get("gguf", ""), f"{where}: gguf"),
        )


def _shape(name: str, row: Mapping[str, object]) -> ListedShape:
    numbers = {
        _SHAPE_KEYS[_known(_SHAPE_KEYS, key, f"shape {name}")]: _is(int, value, f"shape {name}")
        for key, value in row.items()
        if key != "arch"
    }
    head = numbers.get("attention.key_length", 0)
    return ListedShape(
        _is(str, row.get("arch"), f"shape {name}: arch"),
        MappingProxyType({"attention.value_length": head, **numbers}),
    )


def _capabilities(value: object, where: str) -> frozenset[Capability]:
    words = _is(list, value, f"{where}: can")
    known = {each.value: each for each in Capability}
    return frozenset(known[_known(known, word, f"{where}: can")] for word in words)


def _name(value: object, where: str) -> ModelName:
    try:
        return ModelName.parse(_is(str, value, f"{where}: at"))
    except InvalidName as error:
        raise BadCatalog(f'{where}: "{value}" is no name of a model') from error


def _each(table: Mapping[str, object], name: str) -> list[tuple[str, object]]:
    return list(_table(table.get(name), name).items())


def _table(value: object, where: str) -> dict[str, object]:
    return _is(dict, value, where)


def _is(kind: type[_T], value: object, where: str) -> _T:
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise BadCatalog(f"{where}: {value!r} is not of the type {kind.__name__}")


def _known(table: Mapping[str, object], word: object, where: str) -> str:
    if isinstance(word, str) and word in table:
        return word
    raise BadCatalog(f"{where}: {word!r} is none of {', '.join(table)}")


def _check_keys(row: Mapping[str, object], known: frozenset[str], where: str) -> None:
    if unknown := row.keys() - known:
        raise BadCatalog(f"{where}: unknown words {', '.join(sorted(unknown))}")
