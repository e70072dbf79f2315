"""A conversation, free of any dialect: its turns, and the functions that a model may call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `puna list` has messages in its way, and never an image
    from puna.chat.images import Image

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called."""

    name: str
    arguments: str
    """A JSON object as text, its keys in the order in which the model wrote them."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role | str
    """A text that is no `Role` is for templates that know it, such as granite's `control`."""
    content: str
    thinking: str = ""
    images: "tuple[Image, ...]" = ()
    places: tuple[int, ...] = ()
    """Where in the text each image stands, in characters; without places all stand in front."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    """For a tool's result: the function that was called."""
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    """The JSON schema of its arguments, as the client wrote it."""


class ToolMode(StrEnum):
    """Whether the model may, must or must not call a function."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The functions that a model may call, and how."""

    tools: tuple[Tool, ...] = ()
    mode: ToolMode = ToolMode.AUTO
    only: str = ""
    """The one function that must be called, with REQUIRED."""
    parallel: bool = True
    """Whether several may be called in one turn."""


NO_TOOLS = ToolUse()


@dataclass(frozen=True, slots=True)
class Think:
    """Whether the model is to think before it answers, and how hard."""

    on: bool
    level: str = ""
    """`low`, `medium`, `high` or `max`; empty leaves it to the model."""
