"""Models ready to serve: found once, with everything that each request needs of them.

To find a model and read its texts costs a request more than all the rest of the way to the engine,
so what was found is kept for a second. Before it is used again one look at the disk (a `stat`)
tells whether the name has come to mean something else; the second is for what that does not show,
such as a package that was just installed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from puna.chat.forms import named_form
from puna.chat.messages import Message
from puna.chat.output import Form
from puna.library.library import Library
from puna.library.local import LocalModel
from puna.models.details import Capability
from puna.models.gguf import GgufHeader
from puna.models.name import ModelName
from puna.models.options import Options, parse_options
from puna.models.reference import FileReference
from puna.units import Span
from puna.world import World

_KEPT = Span.of(seconds=1)
_BARE = "{{ .Prompt }}"
"""The Go template that adds nothing."""

FileState = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with its texts and its file's header read."""

    local: LocalModel
    weights: Path
    header: GgufHeader
    abilities: frozenset[Capability]
    system: str
    messages: tuple[Message, ...]
    options: Options
    """The model's own options, over the defaults."""
    has_go_template_only: bool = False
    """Its file has no template of its own, and the one that it was given is for Go."""
    has_adapters: bool = False
    draft: GgufHeader | None = None
    """The file of the model that guesses ahead, if it has one."""
    form: Form | None = None
    """How its answers mark thoughts and calls, if its config names a parser that says so."""

    @classmethod
    def of(cls, local: LocalModel) -> "ServedModel":
        """Read what is needed of a model. Raises what its files raise."""
        return cls(
            local=local,
            weights=local.weights,
            header=local.header(),
            abilities=local.details.capabilities,
            system=local.system,
            messages=local.messages,
            options=parse_options(local.parameters).options,
            has_go_template_only=(
                (local.template or _BARE).strip() != _BARE
                and "tokenizer.chat_template" not in local.header().metadata
            ),
            has_adapters=bool(local.adapters),
            draft=local.facts.header(local.draft) if local.draft else None,
            form=named_form(local.config.parser),
        )

    @property
    def label(self) -> str:
        """The name for people."""
        return self.local.label

    @property
    def full_name(self) -> str:
        """The name with all its parts, as some of Ollama's messages have it."""
        return self.local.name.full


@dataclass(frozen=True, slots=True)
class _Kept:
    model: ServedModel
    path: Path
    state: FileState
    until: Span


class ServedModels:
    """The models that were asked for lately."""

    def __init__(self, library: Library, world: World, *, most: int = 256) -> None:
        self._library = library
        self._most = most
        self._world = world
        self._kept: dict[str, _Kept] = {}

    def named(self, typed: str) -> ServedModel:
        """Return the model of a name. Raises what finding it and reading its files do."""
        if model := self._still_good(typed):
            return model
        name = ModelName.parse(typed)
        path = self._library.store.manifests.folder.joinpath(*name.path_parts)
        return self._keep(typed, path, lambda: self._library.find(name, typed=typed))

    def in_file(self, path: Path) -> ServedModel:
        """Return the model in a file that is in no store. Raises `FileMissing`, `BadGguf`."""
        if model := self._still_good(str(path)):
            return model
        reference = FileReference(path)
        return self._keep(str(path), path, lambda: self._library.open_reference(reference))

    def forget(self) -> None:
        """Look everything up again: a name was just made, changed or removed."""
        self._kept.clear()

    def _still_good(self, key: str) -> ServedModel | None:
        kept = self._kept.get(key)
        if kept is None or self._world.elapsed() >= kept.until or _state(kept.path) != kept.state:
            return None
        return kept.model

    def _keep(self, key: str, path: Path, find: Callable[[], LocalModel]) -> ServedModel:
        state = _state(path)
        model = ServedModel.of(find())
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[key] = _Kept(model, path, state, Span(self._world.elapsed() + _KEPT))
        return model


def _state(path: Path) -> FileState:
    try:
        found = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat, for each request
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
