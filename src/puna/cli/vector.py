"""`puna run` of a model that embeds: a text in, its vector out, as one JSON array."""

import json
from dataclasses import replace

from puna.cli.find import placement_line
from puna.cli.session import Session
from puna.cli.spinner import Spinner
from puna.errors import Invalid
from puna.node.card import ModelCard
from puna.node.client import NodeClient
from puna.node.measuring import VectorQuestion, embed

_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")


def only_embeds(card: ModelCard) -> bool:
    """Tell whether the model turns texts into vectors and cannot answer."""
    return "embedding" in card.capabilities and "completion" not in card.capabilities


def read_truncate(text: object) -> bool | None:
    """Read the value of `--truncate`. Raises `Invalid`."""
    if not isinstance(text, str):
        return None
    if text.lower() not in (*_TRUE, *_FALSE):
        raise Invalid(f'invalid value for --truncate: "{text}" (must be true or false)')
    return text.lower() in _TRUE


def print_vector(session: Session, client: NodeClient, question: VectorQuestion) -> None:
    """Print the vector of one text on stdout; where it runs, and what was cut, on stderr."""
    if not any(question.texts):
        raise Invalid(
            "embedding models require input text."
            f' Usage: puna run {question.model} "your text here"'
        )
    with Spinner(session.terminal):
        embed(client, replace(question, texts=(), keep_alive=None))
        line = placement_line(client, question.model)
        found = embed(client, question)
    if line:
        session.terminal.say(line)
    for cut in found.cuts:
        session.terminal.say(
            f"Note: the text was cut to fit: {cut.kept_tokens} of {cut.tokens} tokens kept"
        )
    session.terminal.line(json.dumps(found.vectors[0] if found.vectors else [], allow_nan=False))
