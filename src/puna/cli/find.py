"""Find the model that `puna run` was asked for: here, to be fetched, or one of a similar name."""

from importlib import import_module

from puna.cli.bars import draw_progress
from puna.cli.naming import is_file
from puna.cli.session import Session
from puna.cli.similar import near_names
from puna.cli.view import where_it_runs
from puna.errors import NotFound, PunaError
from puna.models.name import InvalidName, ModelName
from puna.node.card import ModelCard, show_card
from puna.node.client import NodeClient, NodeRefused
from puna.node.pulling import pull

_NOWHERE = "file does not exist"
"""How Ollama ends the stream of a pull whose model no source has."""


class NoSuchModel(NotFound):
    """The model is neither here nor to be had; the message names models with similar names."""

    code = "model_not_found"


def find_model(
    session: Session, client: NodeClient, model: str, *, insecure: bool, link: str = ""
) -> ModelCard:
    """Return what the node knows of a model, fetched first if need be. Raises `NoSuchModel`.

    `link` is what it is fetched by, where a person gave a link instead of a name.
    """
    try:
        return show_card(client, model)
    except NodeRefused as error:
        if not error.is_not_found or is_file(model):
            raise
    try:
        pulling = pull(client, link or model, insecure=insecure)
        draw_progress(session.terminal, session.world, pulling)
    except PunaError as error:
        raise _no_such_model(client, model, error) from error
    return show_card(client, model)


def meant_name(session: Session, client: NodeClient, text: str) -> str:
    """Return the name that a short name of the curated list means, and say it; else the text.

    A name in the node's own store wins over the list.
    """
    if "/" in text:
        return text
    curated = import_module("puna.library.curated")
    try:
        meant: ModelName | None = curated.meant_by(ModelName.parse(text))
    except InvalidName:
        return text
    if meant is None or any(is_same_model(each.name, text) for each in client.list_models()):
        return text
    session.terminal.say(f"{text} is {meant}")
    return str(meant)


def placement_line(client: NodeClient, model: str) -> str:
    """Say where a loaded model runs; empty if it has left memory already."""
    for running in client.running():
        if is_same_model(running.name, model):
            return where_it_runs(running)
    return ""


def is_same_model(one: str, other: str) -> bool:
    """Tell whether two texts name one model."""
    if one == other:
        return True
    try:
        return ModelName.parse(one).matches(ModelName.parse(other))
    except InvalidName:
        return False


def _no_such_model(client: NodeClient, model: str, reason: PunaError) -> NoSuchModel:
    names = tuple(entry.name for entry in client.list_models())
    similar = ", ".join(near_names(model, names))
    is_nowhere = isinstance(reason, NodeRefused) and (
        reason.is_not_found or reason.message.endswith(_NOWHERE)
    )
    why = "" if is_nowhere else f": {reason.message}"
    return NoSuchModel(
        f"model '{model}' not found{why}" + (f"; similar: {similar}" if similar else ""),
        hint=reason.hint or "`puna list` shows the models that are here",
    )
