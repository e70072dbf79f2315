"""Bring a model from a registry into the store.

Nothing of it can be seen until its manifest is written, and that happens when all its blobs are
here and checked. What an earlier attempt left is used, and blobs that another model has are not
fetched; of those, one that was damaged since is fetched again.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial

from puna.errors import PunaError
from puna.library.download import Streams, download, transfer
from puna.library.draft import Draft
from puna.library.pull import draft_in
from puna.library.sources.patience import ask_patiently
from puna.library.sources.registry import Repository
from puna.library.store import ModelStore
from puna.library.threads import in_thread
from puna.models.manifest import Layer, Manifest
from puna.models.name import ModelName
from puna.progress import Done, Progress, Step
from puna.world import World


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a pulled model goes, and over how many connections."""

    store: ModelStore
    world: World
    streams: Streams


async def pull_from_registry(
    repository: Repository, name: ModelName, shelf: Shelf
) -> AsyncGenerator[Progress]:
    """Fetch the model `name`, and tell how far that is.

    Closing the iterator stops at once; what has arrived stays for the next attempt. Raises
    `ManifestMissing` and whatever reading from registries, and writing to stores, raises.
    """
    yield Step("pulling manifest")
    with _about_manifest():
        manifest = await ask_patiently(shelf.world, partial(repository.manifest, name.tag))
    async with draft_in(shelf.store) as draft:
        missing = await in_thread(_missing, manifest, draft)
        digests = {layer.digest for layer in missing}
        for layer in manifest.blobs:
            if layer.digest not in digests:
                yield transfer(layer, "pulling", layer.size)
        arriving = download(missing, repository, draft, streams=shelf.streams, world=shelf.world)
        async with aclosing(arriving):
            async for event in arriving:
                yield event
        yield Step("verifying sha256 digest")
        yield Step("writing manifest")
        former = shelf.store.manifests.find(name)
        await in_thread(shelf.store.publish, draft, name, manifest)
        if former:
            yield Step("removing unused layers")
    yield Done()


@contextmanager
def _about_manifest() -> Iterator[None]:
    """Say of every error inside that it befell the manifest, as Ollama does."""
    try:
        yield
    except PunaError as error:
        error.message = f"pull model manifest: {error.message}"
        error.args = (error.message,)
        raise


def _missing(manifest: Manifest, draft: Draft) -> list[Layer]:
    """Return the blobs that are not here. Raises `StoreFull` if they will not fit."""
    missing = [layer for layer in manifest.blobs if not draft.keep_whole(layer)]
    if missing:
        draft.ensure_room(sum(layer.size - draft.arrived(layer) for layer in missing))
    return missing
