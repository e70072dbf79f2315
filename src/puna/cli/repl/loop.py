"""Talk with a model: read a message, write the answer, until the person leaves.

A failure ends the answer and never the dialogue. Ctrl-C stops an answer; on an empty line it says
how to leave.
"""

from importlib import import_module

from puna.cli.answer import speak
from puna.cli.pictures import begins_with_file, read_prompt
from puna.cli.repl.commands import LEAVE, do_command, is_command
from puna.cli.repl.conversation import Conversation
from puna.cli.repl.dialogue import Dialogue
from puna.cli.repl.entry import without_fence
from puna.cli.repl.history import HistoryFile
from puna.cli.repl.quiet import quiet_keys
from puna.cli.repl.reading import LineDropped, PlainReader, Reader
from puna.cli.repl.words import HOW_TO_LEAVE, PROMPT
from puna.cli.run import Wish, load
from puna.cli.session import Session
from puna.cli.wrap import Wrap
from puna.errors import PunaError
from puna.node.asking import chat
from puna.node.client import NodeClient
from puna.settings import read_desk


def talk(session: Session, client: NodeClient, wish: Wish) -> None:
    """Load the model and talk until the person leaves. Raises what the load raises."""
    with quiet_keys(session.terminal):
        load(session, client, wish.load_question)
        settings = session.settings
        history = HistoryFile(settings.home / "history", is_on=not settings.no_history)
        conversation = Conversation.of(wish)
        dialogue = Dialogue(session, client, conversation, history)
        _show_stored_messages(dialogue)
        run_dialogue(dialogue, _reader(session, history))


def run_dialogue(dialogue: Dialogue, reader: Reader) -> None:
    """Answer messages and commands until the person leaves."""
    while True:
        try:
            text = reader.read()
        except EOFError:
            dialogue.reply("")
            return
        except KeyboardInterrupt:
            dialogue.reply(HOW_TO_LEAVE)
            continue
        except LineDropped:
            continue
        if text.split()[:1] and text.split()[0] in LEAVE:
            return
        _take(dialogue, text)


def _take(dialogue: Dialogue, text: str) -> None:
    """Do one command or answer one message; a failure is said and the dialogue goes on."""
    try:
        if text.startswith("/") and (is_command(text) or not begins_with_file(text)):
            do_command(dialogue, text)
        elif message := without_fence(text).strip("\n"):
            _answer(dialogue, message)
    except PunaError as error:
        dialogue.say(f"error: {error.message}")
        if error.hint:
            dialogue.say(error.hint)
    except KeyboardInterrupt:
        dialogue.reply("")


def _answer(dialogue: Dialogue, message: str) -> None:
    if not message.strip():
        return
    conversation = dialogue.conversation
    asked = read_prompt(message, sees=conversation.card.sees_images)
    for note in asked.notes:
        dialogue.say(note)
    chunks = chat(dialogue.client, conversation.next_question(asked.text, asked.images))
    answered = speak(dialogue.session.terminal, chunks, conversation.manner)
    conversation.keep(asked.text, answered, asked.images)


def _show_stored_messages(dialogue: Dialogue) -> None:
    """Show the conversation that travels with the model; the node puts it before ours by itself."""
    terminal = dialogue.session.terminal
    for message in dialogue.conversation.card.messages:
        if message.role == "user":
            terminal.line(f"{PROMPT}{message.content}")
        elif message.role == "assistant":
            wrap = Wrap(terminal.width - 1 if dialogue.conversation.manner.wordwrap else 10**9)
            terminal.line(wrap.feed(message.content) + wrap.end() + "\n")


def _reader(session: Session, history: HistoryFile) -> Reader:
    if not session.terminal.has_escapes:
        return PlainReader(session.terminal, history)
    editor = session.settings.editor or read_desk(session.environ).editor
    keyboard: Reader = import_module("puna.cli.repl.keyboard").Keyboard(
        session.terminal, history, editor=editor
    )
    return keyboard
