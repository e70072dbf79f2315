"""No engine loads a damaged blob: what the store knows to be whole costs a look, the rest a read.

A bit that flipped on a disk does not stop llama.cpp; it makes a model that talks nonsense, or one
that ends the process. See `library.seals` for what is remembered.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from puna.library.store import ModelStore
from puna.library.threads import in_thread
from puna.node.engine.engine import Engine, EngineFactory
from puna.node.engine.request import LoadSpec


def checked(factory: EngineFactory, store: ModelStore) -> EngineFactory:
    """Return what loads models as `factory` does, and raises `BlobDamaged` for a damaged one."""

    async def load(spec: LoadSpec) -> Engine:
        for path in _files(spec):
            await in_thread(store.check, path)
        return await factory(spec)

    return load


def _files(value: object) -> Iterator[Path]:
    """Return every file that a load reads, however deep in its plan."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _files(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _files(getattr(value, field.name))
