"""The models of this machine without a server: the same verbs, straight on the store.

The store keeps several processes apart by itself, so nothing here needs the server to be away; it
is only not needed.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from puna.cli.session import Session
from puna.library.library import Library, open_library
from puna.library.local import LocalModel
from puna.models.name import ModelName
from puna.models.reference import parse_reference
from puna.node.replies import Fields, ModelEntry

if TYPE_CHECKING:
    from puna.node.card import ModelCard
    from puna.progress import Progress


class StoreShelf:
    """The store on this machine as a shelf of models."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.library: Library = open_library(session.settings, session.world)

    def list_models(self) -> tuple[ModelEntry, ...]:
        """Return the models, newest first; those that are damaged are said on stderr."""
        listing = self.library.list_models()
        for damaged in listing.damaged:
            self._session.terminal.say(
                f'Warning: model "{damaged.label}" is damaged: {damaged.error.message}'
            )
        return tuple(_entry(model) for model in listing.models)

    def show(self, model: str, *, verbose: bool = False) -> "ModelCard":
        """Return what is known of one model, in the very words of the server."""
        card = import_module("puna.node.card")
        wire = import_module(
            "puna.wire.ollama"
        )  # a quarter of a second, and `list` needs none of it
        shelf = import_module("puna.node.api.ollama.shelf")
        asked = wire.ShowRequest(verbose=verbose)
        reply: bytes = shelf.show(self.open(model), asked).to_json()
        found: ModelCard = card.ModelCard.of(Fields(json.loads(reply)))
        return found

    def open(self, model: str) -> LocalModel:
        """Return a model by its name, or by the path of its file."""
        return self.library.open_reference(parse_reference(model, cwd=Path.cwd()), typed=model)

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        self.library.copy(ModelName.parse(source), ModelName.parse(destination), typed=source)

    def unload(self, model: str) -> None:
        """Do nothing: without a server no model is in memory."""

    def delete(self, model: str) -> None:
        """Remove a name, and the files that nothing else uses."""
        self.library.remove(ModelName.parse(model), typed=model)

    def pull(self, model: str, *, insecure: bool = False) -> "Iterator[Progress]":
        """Fetch a model, yielding how far it is."""
        fetch = import_module("puna.cli.fetch").fetch  # loads asyncio, and `list` needs none of it
        progress: Iterator[Progress] = fetch(self.library, model, insecure=insecure)
        return progress

    def push(self, model: str, *, insecure: bool = False) -> "Iterator[Progress]":
        """Send a model to its registry, yielding how far it is."""
        send = import_module("puna.cli.fetch").send  # as above
        progress: Iterator[Progress] = send(self.library, model, insecure=insecure)
        return progress


def _entry(model: LocalModel) -> ModelEntry:
    return ModelEntry(
        name=model.label, digest=model.digest.hex, size=model.size, modified_at=model.modified_at
    )
