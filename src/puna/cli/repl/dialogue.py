"""What a slash command can reach: the conversation, the node, the terminal and the history."""

from dataclasses import dataclass, replace

from puna.cli.repl.conversation import Conversation
from puna.cli.repl.history import HistoryFile
from puna.cli.session import Session
from puna.node.client import NodeClient


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One run of the dialogue."""

    session: Session
    client: NodeClient
    conversation: Conversation
    history: HistoryFile

    def reply(self, text: str) -> None:
        """Answer a command, on stdout."""
        self.session.terminal.tell(text)

    def show(self, text: str) -> None:
        """Show what is not ours to say: a table, a text of the model."""
        self.session.terminal.line(text)

    def words(self, text: str) -> str:
        """Return words of ours in the language of the screen."""
        return self.session.terminal.screen_language.of(text)

    def say(self, text: str) -> None:
        """Say something to the person, on stderr."""
        self.session.terminal.say(text)

    def ask_for(self, **changes: object) -> None:
        """Change how the next answers are asked for."""
        self.conversation.question = replace(self.conversation.question, **changes)  # type: ignore[arg-type]

    def write_as(self, **changes: bool) -> None:
        """Change how the next answers are written."""
        self.conversation.manner = replace(self.conversation.manner, **changes)
