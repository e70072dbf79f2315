"""Ollama's HTTP bodies as they travel: names, types and order of fields, and no logic.

Requests are strict about types and lenient about everything else, as Go's decoder is: an unknown
field is ignored and `null` means absent. Fields whose value may have several types (`format`,
`keep_alive`, `think`) stay JSON here and are read in `node.api.ollama.convert`. In replies a field
without a default is always written, and a field with one is left out while it holds it: that is
Go's `omitempty`.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

Strings = list[str] | None
MOST_MESSAGES = 100_000
"""More than any context holds. A million would keep everybody waiting for seconds."""

MOST_TOOLS = 1000
"""More than any model can choose from."""


def rfc3339(moment: datetime) -> str:
    """Write an aware time as Go does in UTC: `2026-08-21T10:00:01.5Z`, no zeros at the end."""
    text = moment.astimezone(UTC).isoformat().removesuffix("+00:00")
    return f"{text.rstrip('0') if '.' in text else text}Z"


Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


class Body(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class NamedModel(Body):
    """A body that names a model; `name` is the older word for `model`."""

    model: str | None = None
    name: str | None = None


class ToolFunctionCall(Body):
    """The function that a model wants called."""

    index: int | None = None
    name: str | None = None
    arguments: dict[str, JsonValue] | None = None


class ToolCall(Body):
    """A call that a model asked for."""

    id: str | None = None
    function: ToolFunctionCall | None = None


class Message(Body):
    """One turn of a conversation."""

    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    images: Strings = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Generation(Body):
    """What `/api/generate` and `/api/chat` share."""

    model: str | None = Field(default=None, examples=["smollm2"])
    stream: bool | None = Field(default=None, description="Absent is true.")
    format: JsonValue = Field(default=None, description='`"json"` or a JSON schema.')
    options: dict[str, JsonValue] | None = Field(
        default=None, examples=[{"temperature": 0, "seed": 7}]
    )
    keep_alive: JsonValue = Field(
        default=None, description='Seconds, or a duration such as `"10m"`.'
    )
    think: JsonValue = Field(
        default=None, description="A boolean, or `low`, `medium`, `high`, `max`."
    )
    truncate: bool | None = Field(
        default=None, description="False refuses a prompt that is too long."
    )
    shift: bool | None = Field(default=None, description="False stops at the end of the context.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, description="0 to 20.")
    debug_render_only: bool | None = Field(default=None, alias="_debug_render_only")


class GenerateRequest(Generation):
    """`POST /api/generate`: one prompt, or a load or unload when the prompt is empty."""

    prompt: str | None = Field(default=None, examples=["What is a hamburger?"])
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    images: Strings = None
    context: list[int] | None = Field(
        default=None, description="Tokens of an earlier reply, put first."
    )
    raw: bool | None = Field(
        default=None, description="True sends the prompt as it is, no template."
    )


class ChatRequest(Generation):
    """`POST /api/chat`: a conversation, or a load or unload when it is empty."""

    messages: list[Message] | None = Field(
        default=None,
        max_length=MOST_MESSAGES,
        examples=[[{"role": "user", "content": "What is a hamburger?"}]],
    )
    tools: list[dict[str, JsonValue]] | None = Field(
        default=None,
        max_length=MOST_TOOLS,
        description="Functions that may be called; their schemas are kept whole.",
    )
    tool_choice: JsonValue = Field(
        default=None,
        description="puna's own: `auto`, `none`, `required`, or one function as OpenAI has it.",
    )


class ShowRequest(NamedModel):
    """`POST /api/show`. `system` and `options` alter the text that is shown."""

    verbose: bool | None = None
    system: str | None = None
    template: str | None = None
    options: dict[str, JsonValue] | None = None


class CopyRequest(Body):
    """`POST /api/copy`."""

    source: str | None = None
    destination: str | None = None


class DeleteRequest(NamedModel):
    """`DELETE /api/delete`."""


class CreateInfo(Body):
    """What a new model is said to be, where its files do not tell."""

    capabilities: Strings = None
    model_family: str | None = None
    base_name: str | None = None
    quantization_level: str | None = None
    parameter_size: str | None = None
    context_length: int | None = None
    embedding_length: int | None = None


class CreateRequest(NamedModel):
    """`POST /api/create`."""

    from_: str | None = Field(None, alias="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: dict[str, JsonValue] | None = None
    messages: list[Message] | None = Field(None, max_length=MOST_MESSAGES)
    renderer: str | None = None
    parser: str | None = None
    requires: str | None = None
    quantize: str | None = None
    quantization: str | None = None
    draft_quantize: str | None = None
    info: CreateInfo | None = None
    remote_host: str | None = None
    stream: bool | None = None


class PullRequest(NamedModel):
    """`POST /api/pull`."""

    insecure: bool | None = None
    stream: bool | None = None


class PushRequest(PullRequest):
    """`POST /api/push`."""


class Reply(BaseModel):
    """What a node sends."""

    model_config = ConfigDict(protected_namespaces=(), frozen=True)

    def to_json(self) -> bytes:
        """Write the object as Go would: in order, without empty optional fields."""
        return self.model_dump_json(exclude_defaults=True, by_alias=True).encode()


class ErrorReply(Reply):
    """Any failure."""

    error: str


class Version(Reply):
    """`GET /api/version`: the Ollama version whose formats are spoken, and puna's own."""

    version: str
    puna: str


class CloudStatus(Reply):
    """Whether models of Ollama's cloud are left out, and what says so: `env` or `config`."""

    disabled: bool
    source: str


class Status(Reply):
    """`GET /api/status`."""

    cloud: CloudStatus


class Details(Reply):
    """Short facts of a model."""

    parent_model: str
    format: str
    family: str
    families: list[str] | None
    parameter_size: str
    quantization_level: str
    context_length: int = 0
    embedding_length: int = 0


class TagEntry(Reply):
    """One model of the store."""

    name: str
    model: str
    remote_model: str = ""
    remote_host: str = ""
    modified_at: Moment
    size: int
    digest: str
    details: Details
    capabilities: list[str] = []


class Tags(Reply):
    """`GET /api/tags`, newest first."""

    models: list[TagEntry]


class RunningEntry(Reply):
    """One model in memory; `processor`, `slots` and `speculation` are puna's own."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: Moment
    size_vram: int
    context_length: int
    processor: str
    slots: int
    speculation: str = ""


class Running(Reply):
    """`GET /api/ps`, longest expiry first."""

    models: list[RunningEntry]


class StoredMessage(Reply):
    """A message that travels with a model."""

    role: str
    content: str


class Tensor(Reply):
    """One tensor of a GGUF file."""

    name: str
    type: str
    shape: list[int]


class Show(Reply):
    """`POST /api/show`: everything about one model."""

    license: str = ""
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str = ""
    details: Details
    messages: list[StoredMessage] = []
    remote_model: str = ""
    remote_host: str = ""
    model_info: dict[str, JsonValue]
    projector_info: dict[str, JsonValue] = {}
    tensors: list[Tensor] = []
    capabilities: list[str] = []
    modified_at: Moment
    requires: str = ""


class PullProgress(Reply):
    """One line of `POST /api/pull` or `/api/push`."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


class TokenLogprob(Reply):
    """A token and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int] = []


class Logprob(TokenLogprob):
    """A generated token, and the likeliest ones in its place."""

    top_logprobs: list[TokenLogprob] = []


class Truncated(Reply):
    """puna's own: what was cut from a prompt that did not fit."""

    prompt_tokens: int
    kept_tokens: int
    context_length: int
    dropped_messages: int
    is_estimate: bool = Field(default=False, description="True if `prompt_tokens` was not counted.")


class DebugInfo(Reply):
    """The prompt as the model would see it."""

    rendered_template: str
    image_count: int = 0


class GenerateReply(Reply):
    """`POST /api/generate`: a piece of the answer, or all of it."""

    model: str
    created_at: Moment
    response: str
    thinking: str = ""
    done: bool
    done_reason: str = ""
    context: list[int] = []
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    debug_info: DebugInfo | None = Field(default=None, alias="_debug_info")
    logprobs: list[Logprob] = []
    truncated: Truncated | None = None
    shifted: bool = Field(
        default=False, description="The context was full and its oldest part was forgotten."
    )
    ignored: list[str] = Field(
        default=[], description="What was asked for and had no effect: options, parts of a schema."
    )


class CalledFunction(Reply):
    """The function that the model wants called; `index` counts from 0."""

    index: int
    name: str
    arguments: dict[str, JsonValue]


class FunctionCall(Reply):
    """One call, with an id for its result."""

    id: str
    function: CalledFunction


class AssistantMessage(Reply):
    """The model's turn."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: list[FunctionCall] = []


class ChatReply(Reply):
    """`POST /api/chat`: a piece of the answer, or all of it."""

    model: str
    created_at: Moment
    message: AssistantMessage
    done: bool
    done_reason: str = ""
    debug_info: DebugInfo | None = Field(default=None, alias="_debug_info")
    logprobs: list[Logprob] = []
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    truncated: Truncated | None = None
    shifted: bool = Field(
        default=False, description="The context was full and its oldest part was forgotten."
    )
    ignored: list[str] = Field(
        default=[], description="What was asked for and had no effect: options, parts of a schema."
    )
