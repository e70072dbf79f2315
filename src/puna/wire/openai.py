"""OpenAI's HTTP bodies as they travel: chat, completions, the list of models; no logic.

Requests are strict about types and lenient about everything else, as Ollama's are. What stays JSON
here has several forms, which `node.api.openai` reads. In replies a field without a default is
always written, and a field with one is left out while it holds it.
"""

from pydantic import Field, JsonValue

from puna.wire.ollama import MOST_MESSAGES, Body, Reply, Truncated


class FunctionCall(Body):
    """The function that a model called in an earlier turn; `arguments` is JSON text."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Body):
    """A call in an earlier turn."""

    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None


class Message(Body):
    """One turn of a conversation."""

    role: str | None = None
    content: JsonValue = Field(default=None, description="A text, or a list of parts.")
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class StreamOptions(Body):
    """What a stream tells beside the answer."""

    include_usage: bool | None = None


class Reasoning(Body):
    """How hard to think."""

    effort: str | None = None


class Generation(Body):
    """What chat and completions share; the last group is puna's, in Ollama's words."""

    model: str | None = Field(default=None, examples=["smollm2"])
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = Field(default=None, description="Absent is the model's own.")
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: JsonValue = Field(default=None, description="A text, or a list of texts.")
    n: int | None = Field(default=None, description="How many answers, 1 to 128.")
    logit_bias: dict[str, float] | None = Field(
        default=None, description="By token id: what is added to its logit, -100 to 100."
    )
    options: dict[str, JsonValue] | None = Field(default=None, description="Ollama's options.")
    keep_alive: JsonValue = Field(default=None, description="As in Ollama's API.")
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    num_ctx: int | None = None


class ChatRequest(Generation):
    """`POST /v1/chat/completions`."""

    messages: list[Message] | None = Field(
        default=None,
        max_length=MOST_MESSAGES,
        examples=[[{"role": "user", "content": "What is a hamburger?"}]],
    )
    max_completion_tokens: int | None = None
    response_format: JsonValue = None
    tools: list[dict[str, JsonValue]] | None = None
    tool_choice: JsonValue = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: str | None = None
    think: JsonValue = Field(default=None, description="As in Ollama's API.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, description="0 to 20.")
    audio: JsonValue = None
    modalities: list[str] | None = None
    functions: JsonValue = None
    function_call: JsonValue = None
    web_search_options: JsonValue = None
    verbosity: str | None = None


class CompletionRequest(Generation):
    """`POST /v1/completions`."""

    prompt: JsonValue = Field(
        default=None,
        description="A text, a list of texts, a list of tokens, or a list of such lists.",
        examples=["Once upon a time"],
    )
    suffix: str | None = None
    logprobs: int | None = Field(default=None, description="0 to 20 likeliest tokens.")
    echo: bool | None = None
    best_of: int | None = None
    raw: bool | None = Field(
        default=None, description="puna's own: true sends the prompt as it is, no template."
    )


class CachedTokens(Reply):
    """How much of a prompt was known from before."""

    cached_tokens: int


class Usage(Reply):
    """Tokens of one answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens | None = None


class Said(Reply):
    """puna's own: everything that was not done as it was asked."""

    truncated: Truncated | None = None
    shifted: bool = False
    ignored: list[str] = Field(default=[])


class Function(Reply):
    """A function that the model wants called; `arguments` is JSON text."""

    name: str
    arguments: str


class Call(Reply):
    """A call of a function; `index` is only in streams."""

    id: str
    index: int | None = None
    type: str
    function: Function


class AssistantMessage(Reply):
    """The model's turn."""

    role: str
    content: str | None
    reasoning: str = ""
    tool_calls: list[Call] = Field(default=[])


class TokenLogprob(Reply):
    """A token and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int] | None


class Logprob(TokenLogprob):
    """A generated token, and the likeliest ones in its place."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(Reply):
    """The tokens of an answer."""

    content: list[Logprob]


class ChatChoice(Reply):
    """One answer of several."""

    index: int
    message: AssistantMessage
    finish_reason: str
    logprobs: ChatLogprobs | None = None


class ChatReply(Reply):
    """`POST /v1/chat/completions` without `stream`."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    puna: Said = Said()


class TextLogprobs(Reply):
    """The tokens of a completion, as lists of equal length."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(Reply):
    """One completion of several."""

    text: str
    index: int
    logprobs: TextLogprobs | None = None
    finish_reason: str | None


class CompletionReply(Reply):
    """`POST /v1/completions` without `stream`."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage
    puna: Said = Said()


class Model(Reply):
    """One model of the store."""

    id: str
    object: str
    created: int
    owned_by: str


class Models(Reply):
    """`GET /v1/models`, newest first."""

    object: str
    data: list[Model]


class Problem(Reply):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class Failure(Reply):
    """Any failure."""

    error: Problem
