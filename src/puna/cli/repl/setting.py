"""`/set`: what holds for the rest of the conversation."""

from collections.abc import Callable, Mapping

from puna.cli.repl.dialogue import Dialogue
from puna.cli.repl.entry import without_fence
from puna.cli.repl.words import HELP_SET, help_parameters
from puna.cli.run import THINK_WORDS, read_think
from puna.errors import Invalid
from puna.models.option_text import go_quoted, option_from_words

Words = list[str]


def set_value(dialogue: Dialogue, line: str) -> None:
    """Do what `/set ...` says, or say how it is written."""
    words = line.split()
    if len(words) < 2:  # noqa: PLR2004
        dialogue.say(HELP_SET)
        return
    if words[1] == "system":
        _set_system(dialogue, line)
        return
    action = _ACTIONS.get(words[1])
    if action is None:
        dialogue.reply(f"Unknown command '/set {words[1]}'. Type /? for help")
        return
    action(dialogue, words[2:])


def _set_system(dialogue: Dialogue, line: str) -> None:
    text = line.partition("system")[2].strip()
    if not text:
        dialogue.say(HELP_SET)
        return
    dialogue.conversation.system = "" if text == '""' else without_fence(text)
    dialogue.reply("Set system message.")


def _set_parameter(dialogue: Dialogue, words: Words) -> None:
    if len(words) < 2:  # noqa: PLR2004
        dialogue.say(help_parameters(dialogue.session.terminal.language))
        return
    name, values = words[0], words[1:]
    try:
        dialogue.conversation.options[name] = option_from_words(name, values)
    except Invalid as error:
        dialogue.reply(f"Couldn't set parameter: {go_quoted(dialogue.words(error.message))}")
        return
    dialogue.reply(f"Set parameter '{name}' to '{', '.join(values)}'")


def _history_on(dialogue: Dialogue, _: Words) -> None:
    dialogue.history.is_on = True


def _history_off(dialogue: Dialogue, _: Words) -> None:
    dialogue.history.is_on = False


def _wordwrap_on(dialogue: Dialogue, _: Words) -> None:
    dialogue.write_as(wordwrap=True)
    dialogue.reply("Set 'wordwrap' mode.")


def _wordwrap_off(dialogue: Dialogue, _: Words) -> None:
    dialogue.write_as(wordwrap=False)
    dialogue.reply("Set 'nowordwrap' mode.")


def _verbose(dialogue: Dialogue, _: Words) -> None:
    dialogue.write_as(verbose=True)
    dialogue.reply("Set 'verbose' mode.")


def _quiet(dialogue: Dialogue, _: Words) -> None:
    dialogue.write_as(verbose=False)
    dialogue.reply("Set 'quiet' mode.")


def _think(dialogue: Dialogue, words: Words) -> None:
    level = words[0] if words else ""
    try:
        think = read_think(level or "true")
    except Invalid:
        dialogue.reply(f"Invalid think level '{level}': use one of {', '.join(THINK_WORDS)}")
        return
    if think and not dialogue.conversation.card.can_think:
        model = dialogue.conversation.model
        dialogue.say(f'warning: model "{model}" does not support thinking output')
        return
    dialogue.ask_for(think=think)
    dialogue.reply(f"Set 'think' mode to '{level}'." if level else "Set 'think' mode.")


def _no_think(dialogue: Dialogue, _: Words) -> None:
    dialogue.ask_for(think=False if dialogue.conversation.card.can_think else None)
    dialogue.reply("Set 'nothink' mode.")


def _format(dialogue: Dialogue, words: Words) -> None:
    if words[:1] != ["json"]:
        dialogue.reply("Invalid or missing format. For 'json' mode use '/set format json'")
        return
    dialogue.ask_for(format="json")
    dialogue.reply("Set format to 'json' mode.")


def _no_format(dialogue: Dialogue, _: Words) -> None:
    dialogue.ask_for(format=None)
    dialogue.reply("Disabled format.")


_ACTIONS: Mapping[str, Callable[[Dialogue, Words], None]] = {
    "parameter": _set_parameter,
    "history": _history_on,
    "nohistory": _history_off,
    "wordwrap": _wordwrap_on,
    "nowordwrap": _wordwrap_off,
    "verbose": _verbose,
    "quiet": _quiet,
    "think": _think,
    "nothink": _no_think,
    "format": _format,
    "noformat": _no_format,
}
