"""A conversation, free of any dialect."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role | str
    """A text that is no `Role` is for templates that know it, such as granite's `control`."""
    content: str
