"""Bring a model from a repository of the hub into the store, without the hub's registry.

Its GGUF file is the same blob that the registry would send. Shards are fetched as blobs of their
own, so that a killed download goes on, then put together into one file (gguf_merge.py); the layer
remembers of which shards it was made, so that pulling again fetches nothing. A file that lets the
model see becomes its projector, and the texts that the hub knows (`template`, `system`, `params`)
become its layers.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from puna.errors import Unsupported
from puna.library.catalog import config_bytes
from puna.library.download import download, transfer
from puna.library.draft import Draft
from puna.library.gguf_merge import merged, merged_size
from puna.library.hub_search import names_on_hub
from puna.library.pull import draft_in
from puna.library.pull_registry import Shelf
from puna.library.sources.access import Unauthorized
from puna.library.sources.hub import HubRepository, HubSettings, open_hub
from puna.library.threads import in_thread
from puna.models.details import details_of
from puna.models.digest import Digest, digest_of
from puna.models.gguf import read_header
from puna.models.hub_files import Choice, HubFile, NoGguf, choose_files
from puna.models.manifest import Layer, Manifest, MediaType, make_manifest
from puna.models.name import ModelName
from puna.models.reference import HubReference
from puna.progress import Done, Progress, Step
from puna.settings import read_address
from puna.units import Size

_TEXTS = {
    "template": MediaType.TEMPLATE,
    "system": MediaType.SYSTEM,
    "params": MediaType.PARAMS,
}
"""Files of a repository that become layers, as in the hub's registry."""
_MOST_NAMED = 3


class SafetensorsOnly(Unsupported):
    """The repository holds a model in a format that the engine does not read."""

    code = "safetensors_only"
    status = 400

    def __init__(self, repository: str, others: Sequence[ModelName]) -> None:
        names = ", ".join(str(name).removesuffix(":latest") for name in others)
        found = f"as GGUF there is {names}" if names else "look for it with `puna search`"
        super().__init__(
            f"repository {repository} holds safetensors and no GGUF file, which the engine needs",
            hint=found,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to bring, and the name that it gets."""

    repository: HubRepository
    choice: Choice
    name: ModelName


async def pull_reference(
    reference: HubReference, hub: HubSettings, shelf: Shelf
) -> AsyncGenerator[Progress]:
    """Look a repository up and fetch the model that the reference means.

    Raises `NotOnHub`, `NoSuchFormat`, `SafetensorsOnly`, and what `pull_from_hub` does.
    """
    yield Step("pulling manifest")
    async with open_hub(hub) as site:
        repository = await site.repository(reference.name, reference.revision)
        try:
            choice = choose_files(repository.files, tag=reference.name.tag, path=reference.file)
        except NoGguf as error:
            if not any(file.path.endswith(".safetensors") for file in repository.files):
                raise NoGguf(f"repository {repository.name} holds no GGUF file") from error
            others = await in_thread(names_on_hub, reference.name.model, read_address(hub.root))
            raise SafetensorsOnly(repository.name, others[:_MOST_NAMED]) from error
        wanted = Wanted(repository, choice, reference.name)
        async with aclosing(pull_from_hub(wanted, shelf)) as events:
            async for event in events:
                yield event


async def pull_from_hub(wanted: Wanted, shelf: Shelf) -> AsyncGenerator[Progress]:
    """Fetch a model, and tell how far that is.

    Closing the iterator stops at once; what has arrived stays for the next attempt. Raises
    `GatedRepository`, `BadGguf` for shards that do not belong together, and what downloads and
    stores raise.
    """
    weights = wanted.choice.weights
    async with draft_in(shelf.store) as draft:
        whole = await in_thread(_merged_before, wanted, shelf, draft)
        layers = [] if whole else [_layer(MediaType.MODEL, file) for file in weights]
        eyes = wanted.choice.projector
        projectors = [_layer(MediaType.PROJECTOR, eyes)] if eyes else []
        arriving = _bring([*layers, *projectors], wanted.repository, draft, shelf)
        async with aclosing(arriving):
            async for event in arriving:
                yield event
        if len(layers) > 1:
            yield Step(f"putting {len(layers)} shards together")
            whole = await in_thread(_merge, layers, draft, shelf)
        texts = await _texts(wanted.repository, draft)
        yield Step("writing manifest")
        model = whole or layers[0]
        manifest = await in_thread(_manifest, [model, *projectors, *texts], draft, shelf)
        await in_thread(shelf.store.publish, draft, wanted.name, manifest)
    if len(layers) > 1:
        await in_thread(shelf.store.remove_unused, [layer.digest for layer in layers])
    yield Done()


async def _bring(
    layers: Sequence[Layer], repository: HubRepository, draft: Draft, shelf: Shelf
) -> AsyncGenerator[Progress]:
    missing = await in_thread(_missing, layers, draft)
    for layer in layers:
        if layer not in missing:
            yield transfer(layer, "pulling", layer.size)
    arriving = download(missing, repository, draft, streams=shelf.streams, world=shelf.world)
    try:
        async with aclosing(arriving):
            async for event in arriving:
                yield event
    except Unauthorized as error:
        raise repository.denied() from error
    yield Step("verifying sha256 digest")


def _missing(layers: Sequence[Layer], draft: Draft) -> list[Layer]:
    """Return the blobs that are not here. Raises `StoreFull` if they will not fit."""
    missing = [layer for layer in layers if not draft.keep_whole(layer)]
    twice = sum(layer.size for layer in layers) if _is_split(layers) else 0
    if missing or twice:
        draft.ensure_room(twice + sum(layer.size - draft.arrived(layer) for layer in missing))
    return missing


def _is_split(layers: Sequence[Layer]) -> bool:
    return sum(layer.media_type == MediaType.MODEL for layer in layers) > 1


def _layer(kind: MediaType, file: HubFile) -> Layer:
    if file.digest is None:
        raise TypeError(f"{file.path} has no digest")
    return Layer(kind, file.digest, file.size)


def _shards_key(digests: Sequence[Digest]) -> str:
    """Return the name of what is made of these shards, in this order."""
    return f"shards-{digest_of(''.join(digests).encode()).hex}"


def _merged_before(wanted: Wanted, shelf: Shelf, draft: Draft) -> Layer | None:
    """Return the layer that was made of the same shards, if the model is here already."""
    digests = [file.digest for file in wanted.choice.weights if file.digest]
    file = shelf.store.manifests.find(wanted.name) if len(digests) > 1 else None
    if file is None:
        return None
    layers = shelf.store.manifests.read(file).layers_of(MediaType.MODEL)
    same = [layer for layer in layers if layer.name == _shards_key(digests)]
    return same[0] if same and draft.keep_whole(same[0]) else None


def _merge(shards: Sequence[Layer], draft: Draft, shelf: Shelf) -> Layer:
    paths = [shelf.store.blobs.path(shard.digest) for shard in shards]
    draft.ensure_room(merged_size(paths))
    with draft.build() as whole:
        for chunk in merged(paths):
            whole.write(chunk)
    key = _shards_key([shard.digest for shard in shards])
    return Layer(MediaType.MODEL, whole.digest, whole.size, name=key)


async def _texts(repository: HubRepository, draft: Draft) -> list[Layer]:
    """Return the layers of the repository's texts."""
    layers = []
    for file in repository.files:
        if kind := _TEXTS.get(file.path):
            text = await repository.text(file.path)
            digest = await in_thread(draft.write, text)
            layers.append(Layer(kind, digest, Size(len(text))))
    return layers


def _manifest(layers: Sequence[Layer], draft: Draft, shelf: Shelf) -> Manifest:
    details = details_of(read_header(shelf.store.blobs.path(layers[0].digest)))
    config = config_bytes(
        family=details.family,
        parameters=details.parameter_size,
        quantization=details.quantization_level,
    )
    digest = draft.write(config)
    return make_manifest(Layer(MediaType.CONFIG, digest, Size(len(config))), layers)
