"""Ollama's requests as questions to a node, and a node's facts as Ollama's replies. Pure.

Error texts and their status are Ollama's, since programs compare them (though they should not);
what Ollama would ignore in silence is refused, or named in the header `Puna-Ignored-Options`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from re import DOTALL, compile as compile_pattern

from pydantic import JsonValue

from puna.chat.families import check_families
from puna.chat.gotemplate.template import read_template
from puna.chat.images import Image, decode_image
from puna.chat.messages import Message, Role, Think, Tool, ToolCall, ToolMode, ToolUse
from puna.chat.template import GoPrompt
from puna.errors import Failed, Invalid
from puna.models.details import Capability
from puna.models.option_text import go_quoted
from puna.node.api.ollama.lines import as_json
from puna.node.engine.request import Grammar
from puna.node.prompt import Conversation, Subject, Verbatim
from puna.node.served import ServedModel
from puna.units import FOREVER, Span
from puna.wire import ollama as wire

_MARK = "[img]"
_LEVELS = ("high", "medium", "low", "max")
_MOST_ALTERNATIVES = 20
_ROLES = frozenset(Role)
_GO_DURATION = compile_pattern(
    r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))*(?:\d+\.?\d*|\.\d+)(?P<unit>[^\d.]*)(?:[\d.].*)?",
    DOTALL,
)
_GO_TYPES = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


class InvalidFormat(Failed):
    """`format` is neither `json` nor a schema. Ollama answers 500 to this."""

    code = "invalid_format"


class MissingAbility(Invalid):
    """The model cannot do what is asked of it."""

    code = "missing_ability"


class NotYet(Invalid):
    """A part of Ollama's API that this version of puna does not have."""

    code = "not_yet"


def read_keep_alive(value: JsonValue) -> Span | None:
    """Read seconds or a Go duration; below zero is forever, `null` says nothing."""
    if value is None:
        return None
    if isinstance(value, bool | list | dict):
        raise Invalid(f"Unsupported type: '{_GO_TYPES[type(value)]}'")
    if isinstance(value, str):
        span = _read_duration(value)
    elif value != value or abs(value) >= FOREVER / 1e9:  # noqa: PLR0124 - NaN
        span = FOREVER
    else:
        span = Span.of(seconds=value)
    return FOREVER if span < 0 else span


def _read_duration(text: str) -> Span:
    try:
        return Span.parse(text)
    except Invalid as error:
        hint = f"keep_alive is seconds, or a text: {error.hint}"
        raise Invalid(f"time: {_go_complaint(text)}", hint=hint) from error


def _go_complaint(text: str) -> str:
    """Say what is wrong with a duration as Go does."""
    match = _GO_DURATION.fullmatch(text)
    if match is None:
        return f"invalid duration {go_quoted(text)}"
    if not match["unit"]:
        return f"missing unit in duration {go_quoted(text)}"
    return f"unknown unit {go_quoted(match['unit'])} in duration {go_quoted(text)}"


def read_think(value: JsonValue) -> Think | None:
    """Tell whether thinking is asked for, and how hard, refused, or not mentioned."""
    if value is None:
        return None
    if isinstance(value, bool):
        return Think(value)
    if isinstance(value, str) and value in _LEVELS:
        return Think(on=True, level=value)
    values = ", ".join(f'"{level}"' for level in _LEVELS) + ", true, or false"
    if isinstance(value, str):
        raise Invalid(f"invalid think value: {_quoted(value)} (must be {values})")
    raise Invalid(f"think must be a boolean or string ({values})")


def read_format(value: JsonValue) -> Grammar | None:
    """Read `"json"`, a JSON schema, or nothing. Raises `InvalidFormat`."""
    if value is None or value == "":
        return None
    if value == "json":
        return Grammar()
    if isinstance(value, dict):
        return Grammar(as_json(value).decode())
    shown = _quoted(as_json(value).decode())
    raise InvalidFormat(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def _quoted(text: str) -> str:
    return go_quoted(text if len(text) <= 100 else f"{text[:99]}…")  # noqa: PLR2004 - a line


def read_logprobs(asked: wire.Generation) -> int | None:
    """Return how many alternatives are wanted with each token; None for no probabilities at all."""
    alternatives = asked.top_logprobs or 0
    if not 0 <= alternatives <= _MOST_ALTERNATIVES:
        raise Invalid(f"top_logprobs must be between 0 and {_MOST_ALTERNATIVES}")
    return alternatives if asked.logprobs else None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is read before the model is looked for, as Ollama's decoder does."""

    keep_alive: Span | None
    think: Think | None
    logprobs: int | None


def read_terms(asked: wire.Generation) -> Terms:
    """Read the fields that may be wrong whatever the model is. Raises `Invalid`."""
    return Terms(
        keep_alive=read_keep_alive(asked.keep_alive),
        think=read_think(asked.think),
        logprobs=read_logprobs(asked),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a request needs the model to be able to do."""

    verb: str
    """`chat` or `generate`: what a model without completion is said not to support."""
    images: bool = False
    tools: bool = False
    insert: bool = False
    think: Think | None = None
    is_forced: bool = False
    """Whether a function must be called, which a grammar makes any model do."""
    template: bool = True
    """Whether the prompt has to be made by the model's template."""

    @classmethod
    def of_chat(cls, messages: Sequence[Message], tools: ToolUse, think: Think | None) -> "Wishes":
        """Return what a conversation needs."""
        return cls(
            verb="chat",
            images=any(message.images for message in messages),
            tools=tools.tools != () and tools.mode is not ToolMode.NONE,
            think=think,
            is_forced=tools.mode is ToolMode.REQUIRED,
        )


def check_abilities(model: ServedModel, asked_name: str, wishes: Wishes) -> None:
    """Raise `MissingAbility` or `NotYet` for what the model, or puna, cannot do."""
    able = model.abilities
    quoted = go_quoted(asked_name)
    if wishes.think and wishes.think.on and Capability.THINKING not in able:
        raise MissingAbility(f"{quoted} does not support thinking")
    if Capability.COMPLETION not in able:
        raise MissingAbility(f"{quoted} does not support {wishes.verb}")
    for is_asked, ability in (
        (wishes.insert, Capability.INSERT),
        (wishes.tools and not wishes.is_forced, Capability.TOOLS),
        (wishes.images, Capability.VISION),
    ):
        if is_asked and ability not in able:
            raise MissingAbility(f"{model.full_name} does not support {ability}")
    if wishes.template:
        _check_template(model)


def _check_template(model: ServedModel) -> None:
    """Refuse a model of which nobody here knows how to ask it, or how to read its answers."""
    config = model.config
    check_families(config.renderer, config.parser)
    has_template = model.go_template or model.header.text("tokenizer.chat_template")
    if config.renderer and not has_template:
        raise NotYet(
            f'model "{model.label}" leaves its prompts to Ollama\'s renderer "{config.renderer}", '
            "which puna does not have, and has no template of its own"
        )


def check_generate(asked: wire.GenerateRequest) -> None:
    """Refuse what contradicts itself, and what this version would otherwise ignore."""
    if asked.raw and (asked.template or asked.system or asked.context):
        raise Invalid("raw mode does not support template, system, or context")
    if asked.images and asked.suffix:
        raise Invalid("a gap has no images: suffix and images do not go together")
    if asked.images and asked.context:
        raise Invalid(
            "context and images do not go together: images are no tokens",
            hint="send the conversation to /api/chat",
        )


def thinking_of(model: ServedModel, wish: Think | None) -> Think | None:
    """Return whether a model is to think: one that can does, unless it is told not to."""
    if Capability.THINKING not in model.abilities:
        return None
    return wish or Think(on=True)


def generate_subject(
    asked: wire.GenerateRequest,
    model: ServedModel,
    think: Think | None = None,
    *,
    today: date = date.min,
) -> Subject:
    """Return the prompt of `/api/generate`, with the model's own system text and messages.

    `today` is for a template in the request.
    """
    prompt = asked.prompt or ""
    images = read_images(asked.images, "images")
    if asked.raw:
        return Verbatim(prompt, images=images)
    go = GoPrompt(read_template(asked.template), today) if asked.template else None
    if asked.suffix and prompt:
        return gap_subject(model, prompt, asked.suffix, go)
    text, places = cut_image_marks(prompt, len(images))
    system = asked.system or model.system
    history = () if asked.context else model.messages
    messages = (
        *((Message(Role.SYSTEM, system),) if system else ()),
        *history,
        Message(Role.USER, text, images=images, places=places),
    )
    return Conversation(
        messages,
        before=tuple(asked.context or ()),
        think=thinking_of(model, think),
        written_by=go,
    )


def gap_subject(
    model: ServedModel, prompt: str, suffix: str, go: GoPrompt | None = None
) -> Subject:
    """Return the question for what goes between two texts.

    A Go template with `.Suffix` writes it; else the marks do that the model's file has for it.
    """
    template = go.template if go else model.go_template
    if template is not None and "suffix" in template.names:
        return Conversation((Message(Role.USER, prompt),), written_by=go, suffix=suffix)
    if marks := model.gap_marks():
        return Verbatim(f"{marks[0]}{prompt}{marks[1]}{suffix}{marks[2]}")
    raise MissingAbility(f"{model.full_name} does not support {Capability.INSERT}")


def chat_subject(
    asked: wire.ChatRequest, model: ServedModel, think: Think | None = None
) -> Conversation:
    """Return the conversation of `/api/chat`, after the model's own system text and messages."""
    messages = tuple(read_message(number, each) for number, each in enumerate(asked.messages or ()))
    return Conversation(
        with_own_words(model, messages),
        tools=read_tools(asked),
        think=thinking_of(model, think),
    )


def with_own_words(model: ServedModel, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put the model's own system text and messages first, as Ollama does."""
    starts_with_system = bool(messages) and messages[0].role is Role.SYSTEM
    system = model.system if not starts_with_system else ""
    own = (Message(Role.SYSTEM, system),) if system else ()
    return (*own, *model.messages, *messages)


def read_message(number: int, message: wire.Message) -> Message:
    """Return one turn; the case of a role does not count.

    What other roles there are is for the model's template to say.
    """
    name = (message.role or "").lower()
    if not name.strip():
        raise Invalid(
            f"messages[{number}]: role is required", hint=f"a role is one of {', '.join(Role)}"
        )
    images = read_images(message.images, f"messages[{number}].images")
    content, places = cut_image_marks(message.content or "", len(images))
    return Message(
        Role(name) if name in _ROLES else name,
        content,
        images=images,
        places=places,
        thinking=message.thinking or "",
        tool_calls=tuple(_read_call(number, each) for each in message.tool_calls or ()),
        tool_name=message.tool_name or "",
        tool_call_id=message.tool_call_id or "",
    )


def read_images(images: Sequence[str] | None, place: str) -> tuple[Image, ...]:
    """Return the images of a list in base64. Raises `BadImage`."""
    return tuple(decode_image(each, f"{place}[{n}]") for n, each in enumerate(images or ()))


def cut_image_marks(text: str, count: int) -> tuple[str, tuple[int, ...]]:
    """Return a text without its marks `[img]`, and where each of `count` images stands.

    The marks are for the images in their order; without one an image stands in front.
    """
    places: list[int] = []
    while len(places) < count and _MARK in text:
        places.append(text.index(_MARK))
        text = text.replace(_MARK, "", 1)
    return text, (*places, *([0] * (count - len(places))))


def _read_call(number: int, call: wire.ToolCall) -> ToolCall:
    if call.function is None or not call.function.name:
        raise Invalid(f"messages[{number}]: a call in tool_calls names no function")
    arguments = as_json(call.function.arguments or {}).decode()
    return ToolCall(call.function.name, arguments, call.id or "")


def read_tools(asked: wire.ChatRequest) -> ToolUse:
    """Return the functions that may be called, and how. Raises `Invalid`."""
    tools = tuple(_read_tool(number, each) for number, each in enumerate(asked.tools or ()))
    choice = asked.tool_choice
    if choice is None or (isinstance(choice, str) and choice in set(ToolMode)):
        return ToolUse(tools, mode=ToolMode(choice or ToolMode.AUTO))
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(name, str) and any(tool.name == name for tool in tools):
        return ToolUse(tools, mode=ToolMode.REQUIRED, only=name)
    raise Invalid(
        "tool_choice is neither auto, none, required nor one of the tools",
        hint='one of the tools is written {"type": "function", "function": {"name": "its name"}}',
    )


def _read_tool(number: int, tool: Mapping[str, JsonValue]) -> Tool:
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(name := function.get("name"), str):
        raise Invalid(f"tools[{number}]: a tool needs a function with a name")
    description = function.get("description") or ""
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(description, str) or not isinstance(parameters, dict):
        raise Invalid(f"tools[{number}]: description is a text, and parameters a JSON schema")
    return Tool(name, description, parameters)
