"""Models ready to serve: found once, with everything that each request needs of them.

To find a model and read its texts costs a request more than all the rest of the way to the engine,
so what was found is kept for a second. Before it is used again one look at the disk (a `stat`)
tells whether the name has come to mean something else; the second is for what that does not show,
such as a package that was just installed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from puna.chat.forms import named_form
from puna.chat.gotemplate.template import GoTemplate
from puna.chat.messages import Message
from puna.chat.output import Form
from puna.chat.output_tags import tags_form
from puna.chat.template import GoPrompt, choose_template
from puna.library.library import Library
from puna.library.local import LocalModel
from puna.models.details import Capability
from puna.models.former.forms import former_of
from puna.models.gguf import GgufArray, GgufHeader, read_array
from puna.models.manifest import ConfigBlob
from puna.models.name import ModelName
from puna.models.options import Options, parse_options
from puna.models.reference import FileReference
from puna.node.prompt import Conversation, Subject
from puna.units import Span
from puna.world import World

_KEPT = Span.of(seconds=1)

GAP_KEYS = (("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle"))
"""The words for the marks of a gap, newer ones first."""

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
    go_template: GoTemplate | None = None
    """The Go template that writes its prompts; None leaves it to the file's own."""
    adapters: tuple[GgufHeader, ...] = ()
    """The files of small weights that change it (LoRA)."""
    draft: GgufHeader | None = None
    """The file of the model that guesses ahead, if it has one."""
    projector: GgufHeader | None = None
    """The file of the part that sees images, if it has one."""
    config: ConfigBlob = field(default_factory=ConfigBlob)
    """What its manifest's config says."""
    form: Form | None = None
    """How its answers mark thoughts and calls, if its config names a parser that says so."""

    @classmethod
    def of(cls, local: LocalModel, *, prefers_go: bool = False) -> "ServedModel":
        """Read what is needed of a model. Raises what its files raise."""
        jinja = local.header().text("tokenizer.chat_template") or ""
        config = local.config
        go = choose_template(local.template, jinja, prefers_go=prefers_go)
        former = former_of(local.header())
        eyes = former.eyes.header(local.weights) if former and former.eyes else None
        return cls(
            local=local,
            weights=local.weights,
            header=former.text.header(local.weights) if former else local.header(),
            abilities=local.details.capabilities,
            system=local.system,
            messages=local.messages,
            options=parse_options(local.parameters).options,
            go_template=go,
            adapters=tuple(local.facts.header(path) for path in local.adapters),
            draft=local.facts.header(local.draft) if local.draft else None,
            projector=local.projector() or eyes,
            config=config,
            form=named_form(config.parser) or (tags_form(go) if go else None),
        )

    @property
    def label(self) -> str:
        """The name for people."""
        return self.local.label

    def gap_marks(self) -> tuple[str, str, str] | None:
        """Return the tokens that mark what is before, after and in a gap; None without them."""
        tokens = self.header.metadata.get("tokenizer.ggml.tokens")
        if not isinstance(tokens, GgufArray):
            return None
        for keys in GAP_KEYS:
            places = [self.header.integer(f"tokenizer.ggml.{key}_token_id") for key in keys]
            if all(place is not None and 0 <= place < tokens.count for place in places):
                words = read_array(self.header.path, tokens)
                before, after, middle = (str(words[place or 0]) for place in places)
                return before, after, middle
        return None

    def told(self, subject: Subject, today: date) -> Subject:
        """Return what is asked, with the Go template that writes it if there is one."""
        if self.go_template is None or not isinstance(subject, Conversation):
            return subject
        if subject.written_by is not None:
            return subject
        return replace(subject, written_by=GoPrompt(self.go_template, today))

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

    def __init__(
        self, library: Library, world: World, *, most: int = 256, prefers_go: bool = False
    ) -> None:
        self._library = library
        self._most = most
        self._prefers_go = prefers_go
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
        model = ServedModel.of(find(), prefers_go=self._prefers_go)
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
