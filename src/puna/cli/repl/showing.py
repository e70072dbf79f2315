"""`/show`: what is known of the model, with what was set in this conversation."""

from collections.abc import Callable, Mapping

from puna.cli.repl.dialogue import Dialogue
from puna.cli.repl.words import HELP_SHOW
from puna.cli.show import card_text
from puna.models.option_text import plain_value
from puna.node.card import ModelCard, show_card


def show_part(dialogue: Dialogue, line: str) -> None:
    """Do what `/show ...` says, or say how it is written."""
    words = line.split()
    if len(words) < 2:  # noqa: PLR2004
        dialogue.say(HELP_SHOW)
        return
    part = _PARTS.get(words[1])
    if part is None:
        dialogue.reply(f"Unknown command '/show {words[1]}'. Type /? for help")
        return
    conversation = dialogue.conversation
    card = show_card(dialogue.client, conversation.model, system=conversation.system or "")
    dialogue.show(part(dialogue, card))


def _show_card(dialogue: Dialogue, card: ModelCard) -> str:
    return card_text(card, language=dialogue.session.terminal.screen_language)


def _license(dialogue: Dialogue, card: ModelCard) -> str:
    return card.license or dialogue.words("No license was specified for this model.")


def _modelfile(_: Dialogue, card: ModelCard) -> str:
    return card.modelfile


def _system(dialogue: Dialogue, card: ModelCard) -> str:
    was_set = dialogue.conversation.system
    text = card.system if was_set is None else was_set
    return text or dialogue.words("No system message was specified for this model.")


def _template(dialogue: Dialogue, card: ModelCard) -> str:
    return card.template or dialogue.words("No prompt template was specified for this model.")


def _parameters(dialogue: Dialogue, card: ModelCard) -> str:
    lines = [f"  {line}" for line in card.parameters.splitlines()] or [
        dialogue.words("  No additional parameters were specified for this model.")
    ]
    text = [dialogue.words("Model defined parameters:"), *lines, ""]
    options = dialogue.conversation.options
    if options:
        rows = [f"  {name:<30} {_shown(value)}" for name, value in options.items()]
        text += [dialogue.words("User defined parameters:"), *rows, ""]
    return "\n".join(text)


def _shown(value: object) -> str:
    return f"[{' '.join(value)}]" if isinstance(value, tuple) else plain_value(value)


_PARTS: Mapping[str, Callable[[Dialogue, ModelCard], str]] = {
    "info": _show_card,
    "license": _license,
    "modelfile": _modelfile,
    "parameters": _parameters,
    "system": _system,
    "template": _template,
}
