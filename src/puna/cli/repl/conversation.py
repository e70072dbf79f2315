"""A conversation as the client keeps it: the messages so far, and how the next is asked."""

from dataclasses import dataclass, field, replace

from puna.chat.images import Image
from puna.chat.messages import Message, Role
from puna.cli.answer import Answered, Manner
from puna.cli.run import Wish
from puna.models.options import OptionValue
from puna.node.asking import Question
from puna.node.card import ModelCard


@dataclass(slots=True)
class Conversation:
    """One dialogue with one model at a time. The loop owns it; nothing else changes it."""

    question: Question
    manner: Manner
    card: ModelCard
    system: str | None = None
    """What was set in its place; an empty text means none, None means the model's own."""
    options: dict[str, OptionValue] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    @classmethod
    def of(cls, wish: Wish) -> "Conversation":
        """Begin the conversation that `puna run` was asked for."""
        return cls(question=wish.question, manner=wish.manner, card=wish.card)

    @property
    def model(self) -> str:
        """The model that answers."""
        return self.question.model

    def next_question(self, text: str, images: tuple[Image, ...] = ()) -> Question:
        """Return what asks the model for an answer to `text`, shown with `images`."""
        system = () if self.system is None else (Message(Role.SYSTEM, self.system),)
        asked = Message(Role.USER, text, images=images)
        return replace(
            self.question,
            messages=(*system, *self.messages, asked),
            options={name: _json(value) for name, value in self.options.items()},
        )

    def keep(self, text: str, answered: Answered, images: tuple[Image, ...] = ()) -> None:
        """Remember a turn. One that was stopped before its first word leaves no trace."""
        if answered.text:
            asked = Message(Role.USER, text, images=images)
            self.messages += [asked, Message(Role.ASSISTANT, answered.text)]

    def clear(self) -> None:
        """Forget the turns; the system message and the options stay."""
        self.messages.clear()

    def switch(self, wish: Wish) -> None:
        """Go on with another model, from nothing."""
        self.question, self.card = wish.question, wish.card
        self.clear()


def _json(value: OptionValue) -> object:
    return list(value) if isinstance(value, tuple) else value
