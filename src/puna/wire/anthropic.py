"""Anthropic's HTTP bodies as they travel: messages and the counting of their tokens; no logic.

Requests are strict about types and lenient about everything else. Blocks of content stay JSON here
and are read in `node.api.anthropic.convert`. In replies a field without a default is always
written, and a field with one is left out while it holds it.
"""

from pydantic import Field, JsonValue

from puna.wire.ollama import MOST_MESSAGES, Body, Reply
from puna.wire.openai import Said


class Message(Body):
    """One turn of a conversation."""

    role: str | None = None
    content: JsonValue = Field(default=None, description="A text, or a list of blocks.")


class Tool(Body):
    """A function that the model may call; a `type` other than `custom` is Anthropic's own."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: dict[str, JsonValue] | None = None


class ToolChoice(Body):
    """Whether a function may, must or must not be called."""

    type: str | None = None
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Body):
    """Whether to think before the answer."""

    type: str | None = None
    budget_tokens: int | None = None


class OutputConfig(Body):
    """How hard to work, and the shape of the answer."""

    effort: str | None = None
    format: dict[str, JsonValue] | None = None


class Prompted(Body):
    """What a message and the counting of its tokens share."""

    model: str | None = Field(default=None, examples=["smollm2"])
    messages: list[Message] | None = Field(
        default=None,
        max_length=MOST_MESSAGES,
        examples=[[{"role": "user", "content": "What is a hamburger?"}]],
    )
    system: JsonValue = Field(default=None, description="A text, or a list of text blocks.")
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: dict[str, JsonValue] | None = None
    mcp_servers: list[JsonValue] | None = None
    container: JsonValue = None


class MessagesRequest(Prompted):
    """`POST /v1/messages`; the last two are puna's own, as in Ollama's API."""

    max_tokens: int | None = Field(default=None, examples=[256])
    stream: bool | None = None
    temperature: float | None = Field(default=None, description="Absent is the model's own.")
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    options: dict[str, JsonValue] | None = Field(default=None, description="Ollama's options.")
    keep_alive: JsonValue = Field(default=None, description="As in Ollama's API.")


class CountRequest(Prompted):
    """`POST /v1/messages/count_tokens`."""


class Count(Reply):
    """How many tokens the prompt has, counted and not estimated."""

    input_tokens: int


class Usage(Reply):
    """Tokens of one answer."""

    input_tokens: int
    output_tokens: int


class Block(Reply):
    """A part of an answer: which fields it has depends on its type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: JsonValue = None


class MessageReply(Reply):
    """`POST /v1/messages` without `stream`."""

    id: str
    type: str
    role: str
    model: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    usage: Usage
    puna: Said = Said()


class Problem(Reply):
    """What went wrong."""

    type: str
    message: str


class Failure(Reply):
    """Any failure."""

    type: str
    error: Problem
    request_id: str = ""
