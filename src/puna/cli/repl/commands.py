"""The slash commands: one table of what begins with `/`."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from puna.cli.repl.dialogue import Dialogue
from puna.cli.repl.saving import save
from puna.cli.repl.setting import set_value
from puna.cli.repl.showing import show_part
from puna.cli.repl.words import HELP, HELP_IMAGES, HELP_SET, HELP_SHORTCUTS, HELP_SHOW
from puna.cli.run import Wish, load, with_thinking
from puna.cli.view import model_table
from puna.node.card import show_card
from puna.node.client import NodeRefused

LEAVE = frozenset({"/bye", "/exit"})
_HELP_TOPICS = {
    "set": HELP_SET,
    "/set": HELP_SET,
    "show": HELP_SHOW,
    "/show": HELP_SHOW,
    "shortcut": HELP_SHORTCUTS,
    "shortcuts": HELP_SHORTCUTS,
}


def is_command(line: str) -> bool:
    """Tell whether a line begins with the name of a command."""
    return line.split(maxsplit=1)[0] in _COMMANDS


def do_command(dialogue: Dialogue, line: str) -> None:
    """Do what a line that begins with `/` says. Raises what the node raises."""
    word = line.split(maxsplit=1)[0]
    command = _COMMANDS.get(word)
    if command is None:
        dialogue.reply(f"Unknown command '{word}'. Type /? for help")
        return
    command(dialogue, line)


def _help(dialogue: Dialogue, line: str) -> None:
    topic = line.split()[1:2]
    dialogue.say(_HELP_TOPICS.get(topic[0], HELP) if topic else HELP)
    if not topic and dialogue.conversation.card.sees_images:
        dialogue.say(HELP_IMAGES)


def _clear(dialogue: Dialogue, _: str) -> None:
    dialogue.conversation.clear()
    dialogue.reply("Cleared session context")


def _list(dialogue: Dialogue, line: str) -> None:
    prefix = "".join(line.split()[1:2]).lower()
    models = [m for m in dialogue.client.list_models() if m.name.lower().startswith(prefix)]
    language = dialogue.session.terminal.screen_language
    dialogue.show(model_table(models, dialogue.session.world.now(), language))


def _load(dialogue: Dialogue, line: str) -> None:
    words = line.split()
    if len(words) != 2:  # noqa: PLR2004
        dialogue.reply("Usage:\n  /load <modelname>")
        return
    name = words[1]
    dialogue.reply(f"Loading model '{name}'")
    conversation = dialogue.conversation
    question = replace(conversation.question, model=name, think=None)
    try:
        card = show_card(dialogue.client, name)
    except NodeRefused as error:
        if not error.is_not_found:
            raise
        dialogue.reply(f"Couldn't find model '{name}'")
        return
    wish = with_thinking(dialogue.session, Wish(question, conversation.manner, card))
    load(dialogue.session, dialogue.client, wish.load_question)
    conversation.switch(wish)


_COMMANDS: Mapping[str, Callable[[Dialogue, str], None]] = {
    "/set": set_value,
    "/show": show_part,
    "/load": _load,
    "/save": save,
    "/clear": _clear,
    "/list": _list,
    "/?": _help,
    "/help": _help,
}
