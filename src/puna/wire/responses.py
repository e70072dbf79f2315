"""OpenAI's Responses API as it travels: one request, one response object; no logic.

Items of input and output have several forms each; input stays JSON here and is read in
`node.api.openai.items`. In replies a field without a default is always written.
"""

from pydantic import Field, JsonValue

from puna.wire.ollama import Body, Reply
from puna.wire.openai import Reasoning, Said


class TextConfig(Body):
    """The shape of the answer."""

    format: dict[str, JsonValue] | None = None
    verbosity: str | None = None


class ResponsesRequest(Body):
    """`POST /v1/responses`; the last two are puna's own, as in Ollama's API."""

    model: str | None = Field(default=None, examples=["smollm2"])
    input: JsonValue = Field(
        default=None,
        description="A text, or a list of items.",
        examples=["What is a hamburger?"],
    )
    instructions: str | None = None
    tools: list[dict[str, JsonValue]] | None = None
    tool_choice: JsonValue = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    temperature: float | None = Field(default=None, description="Absent is the model's own.")
    top_p: float | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    truncation: str | None = Field(default=None, description="`auto` or `disabled`.")
    metadata: dict[str, JsonValue] | None = None
    previous_response_id: str | None = None
    conversation: JsonValue = None
    background: bool | None = None
    prompt: JsonValue = None
    options: dict[str, JsonValue] | None = Field(default=None, description="Ollama's options.")
    keep_alive: JsonValue = Field(default=None, description="As in Ollama's API.")


class CachedTokens(Reply):
    """How much of a prompt was known from before."""

    cached_tokens: int


class ReasoningTokens(Reply):
    """How much of an answer was thought."""

    reasoning_tokens: int


class Usage(Reply):
    """Tokens of one response."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class Incomplete(Reply):
    """Why a response is not complete."""

    reason: str


class Problem(Reply):
    """Why a response failed."""

    code: str
    message: str


class Response(Reply):
    """`POST /v1/responses` without `stream`."""

    id: str
    object: str
    created_at: int
    status: str
    error: Problem | None
    incomplete_details: Incomplete | None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[dict[str, JsonValue]]
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: dict[str, JsonValue]
    store: bool
    temperature: float | None
    text: dict[str, JsonValue]
    tool_choice: JsonValue
    tools: list[dict[str, JsonValue]]
    top_p: float | None
    truncation: str
    usage: Usage | None
    metadata: dict[str, JsonValue]
    puna: Said = Said()
