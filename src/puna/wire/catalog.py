"""puna's own answer to `GET /api/catalog`: the curated list, with the verdicts of one machine."""

from datetime import date

from puna.wire.ollama import Reply


class CatalogEntry(Reply):
    """One size of a model. Sizes are bytes."""

    name: str
    """What to type: `bielik:11b`."""
    model: str
    """What that means, as `/api/pull` takes it."""
    gguf: str
    """A name whose file stock llama.cpp loads, where the library's own may need a patch."""
    about: str
    size: int
    size_is_rough: bool
    parameters: int
    quantization: str
    context_length: int
    capabilities: list[str]
    languages: list[str]
    licence: str
    source: str
    verified: bool
    fits: bool
    verdict: str
    where: str
    needed: int
    free: int
    fit_context: int
    """The context that the verdict is for."""


class Catalog(Reply):
    """The whole list, and the day it was made."""

    date: date
    sources: dict[str, str]
    models: list[CatalogEntry]
