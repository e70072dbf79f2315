"""Send a model to a registry: the blobs that it does not have, then the manifest.

The manifest goes last and as it is, so that a push which ends early has changed no model there, and
the pulled model has the pushed one's id.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

from puna.errors import Denied
from puna.library.download import Streams, transfer
from puna.library.local import LocalModel
from puna.library.sources.access import Unauthorized
from puna.library.sources.patience import ask_patiently
from puna.library.sources.registry import Repository
from puna.library.sources.upload import Content, Upload
from puna.library.threads import together
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
    model: LocalModel, repository: Repository, tag: str, world: World, *, streams: Streams
) -> AsyncGenerator[Progress]:
    """Send a model, and tell how far that is. Closing the iterator stops at once.

    Raises `NotYours`, `BlobMissing`, and what the registry raises.
    """
    yield Step("retrieving manifest")
    uploads = [
        Upload(repository, layer, _content_of(model, layer), world)
        for layer in model.manifest.blobs
    ]
    try:
        async with aclosing(_followed(uploads, world, most=streams.count)) as sending:
            async for event in sending:
                yield event
        yield Step("pushing manifest")
        await ask_patiently(world, partial(repository.put_manifest, tag, model.manifest))
    except Unauthorized as error:
        raise NotYours(
            "you are not authorized to push to this namespace, create the model under a namespace"
            " you own",
            hint=error.hint,
        ) from error
    yield Done()


async def _followed(
    uploads: Sequence[Upload], world: World, *, most: int
) -> AsyncGenerator[Transfer]:
    """Send blobs, some at once, and tell how far each is whenever that has changed."""
    free = asyncio.Semaphore(most)

    async def send(upload: Upload) -> None:
        async with free:
            await upload.send()

    work = asyncio.create_task(together([send(each) for each in uploads]))
    shown: dict[Upload, int] = {}
    try:
        is_over = False
        while not is_over:
            tick = asyncio.create_task(world.wait(_TICK))
            await asyncio.wait({work, tick}, return_when=asyncio.FIRST_COMPLETED)
            tick.cancel()
            is_over = work.done()
            for each in uploads:
                if each.most > shown.get(each, -1 if is_over else 0):
                    shown[each] = each.most
                    yield transfer(each.layer, "pushing", Size(each.most))
        await work
    finally:
        work.cancel()
        await asyncio.wait({work})


def _content_of(model: LocalModel, layer: Layer) -> Content:
    if layer.media_type in _TEXTS:
        return Content(raw=model.contents.read(layer.digest))
    return Content(path=model.contents.path(layer.digest))
