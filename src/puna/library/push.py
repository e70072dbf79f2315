"""Send a model to a registry: the blobs that it does not have, then the manifest.

The manifest goes last and as it is, so that a push which ends early has changed no model there, and
the pulled model has the pushed one's id.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from puna.errors import Denied
from puna.library.download import transfer
from puna.library.local import LocalModel
from puna.library.sources.access import Unauthorized
from puna.library.sources.registry import Repository
from puna.library.sources.upload import Content, Upload
from puna.models.manifest import Layer, MediaType
from puna.progress import Done, Progress, Step, Transfer
from puna.units import Size, Span
from puna.world import World

_TICK = Span.of(ms=60)
_TEXTS = frozenset({MediaType.CONFIG, MediaType.PARAMS})
"""What is no file where a model lies in a package."""


class NotYours(Denied):
    """The registry does not let this machine push under that name."""

    code = "not_yours"


async def push_to_registry(
    model: LocalModel, repository: Repository, tag: str, world: World
) -> AsyncGenerator[Progress]:
    """Send a model, and tell how far that is. Closing the iterator stops at once.

    Raises `NotYours`, `BlobMissing`, and what the registry raises.
    """
    yield Step("retrieving manifest")
    try:
        for layer in model.manifest.blobs:
            upload = Upload(repository, layer, _content_of(model, layer), world)
            async with aclosing(_followed(upload, world)) as sending:
                async for event in sending:
                    yield event
        yield Step("pushing manifest")
        await repository.put_manifest(tag, model.manifest)
    except Unauthorized as error:
        raise NotYours(
            "you are not authorized to push to this namespace, create the model under a namespace"
            " you own",
            hint=error.hint,
        ) from error
    yield Done()


async def _followed(upload: Upload, world: World) -> AsyncGenerator[Transfer]:
    """Send a blob, and tell how far it is whenever that has changed."""
    work = asyncio.create_task(upload.send())
    shown = -1
    try:
        while not work.done():
            tick = asyncio.create_task(world.wait(_TICK))
            await asyncio.wait({work, tick}, return_when=asyncio.FIRST_COMPLETED)
            tick.cancel()
            if upload.most > shown:
                shown = upload.most
                yield transfer(upload.layer, "pushing", Size(shown))
        await work
    finally:
        work.cancel()
        await asyncio.wait({work})


def _content_of(model: LocalModel, layer: Layer) -> Content:
    if layer.media_type in _TEXTS:
        return Content(raw=model.contents.read(layer.digest))
    return Content(path=model.contents.path(layer.digest))
