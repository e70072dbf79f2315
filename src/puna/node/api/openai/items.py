"""Requests of OpenAI's Responses API as questions to a node. Pure.

Nothing is kept between requests, so what would need that is refused by name. Tools that only
OpenAI's servers have are left out and named: the model does not know of them, and the client sees
that in the reply.
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from puna.chat.messages import Message, Role, Think, Tool, ToolCall, ToolUse
from puna.errors import Invalid
from puna.node.api.ollama.convert import Wishes, read_keep_alive, with_own_words
from puna.node.api.ollama.lines import as_json
from puna.node.api.openai.convert import effort_named, ignored_details, read_content
from puna.node.api.openai.tools import choose, read_arguments, read_function
from puna.node.api.wishes import Wish
from puna.node.engine.request import Grammar
from puna.node.prompt import Conversation
from puna.node.served import ServedModel
from puna.wire import responses as wire

_KEPT = {
    "previous_response_id": "send the whole conversation as input",
    "conversation": "send the whole conversation as input",
    "background": "wait for the answer, or stream it",
    "prompt": "send the text as input",
}
_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}
_SEPARATOR = "__"


def response_wish(asked: wire.ResponsesRequest, model: ServedModel) -> Wish:
    """Return what `/v1/responses` asks for. Raises `Invalid`."""
    for name, hint in _KEPT.items():
        if getattr(asked, name):
            raise Invalid(f"{name} is not supported", hint=hint)
    if asked.truncation not in {None, "auto", "disabled"}:
        raise Invalid("truncation is auto or disabled")
    instructed = (Message(Role.SYSTEM, asked.instructions),) if asked.instructions else ()
    messages = (*instructed, *read_input(asked.input))
    tools, unknown = read_tools(asked)
    think = _read_effort(asked)
    return Wish(
        name=asked.model or "",
        wishes=Wishes.of_chat(messages, tools, think),
        subjects=(Conversation(with_own_words(model, messages), tools=tools, think=think),),
        options=_read_options(asked),
        keep_alive=read_keep_alive(asked.keep_alive),
        grammar=_read_format(asked.text),
        truncate=None if asked.truncation is None else asked.truncation == "auto",
        ignored=(*unknown, *_without_effect(asked)),
    )


def _read_options(asked: wire.ResponsesRequest) -> dict[str, object]:
    options: dict[str, object] = dict(asked.options or {})
    given = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "num_predict": asked.max_output_tokens,
    }
    return options | {name: value for name, value in given.items() if value is not None}


def _without_effect(asked: wire.ResponsesRequest) -> tuple[str, ...]:
    names = []
    if asked.text and asked.text.verbosity:
        names.append("text.verbosity")
    if asked.top_logprobs:
        names.append("top_logprobs")
    items = asked.input if isinstance(asked.input, list) else []
    contents = (item.get("content") for item in items if isinstance(item, dict))
    return (*names, *ignored_details(contents))


def _read_effort(asked: wire.ResponsesRequest) -> Think | None:
    effort = asked.reasoning.effort if asked.reasoning else None
    return effort_named(effort) if effort else None


def _read_format(text: wire.TextConfig | None) -> Grammar | None:
    form = text.format if text else None
    kind = form.get("type") if form else "text"
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return Grammar()
    schema = form.get("schema")
    if kind != "json_schema" or not isinstance(schema, dict):
        raise Invalid("text.format: text, json_object, or json_schema with a schema is expected")
    return Grammar(as_json(schema).decode())


def read_input(content: JsonValue) -> tuple[Message, ...]:
    """Read a text, or the items of a conversation, as turns. Raises `Invalid`."""
    if isinstance(content, str) and content:
        return (Message(Role.USER, content),)
    if not isinstance(content, list) or not content:
        raise Invalid("input is required: a text or a list of items")
    reader = _Items()
    for number, item in enumerate(content):
        if not isinstance(item, dict):
            raise Invalid(f"input[{number}]: an item is an object")
        reader.read(item, f"input[{number}]")
    return tuple(reader.turns)


class _Items:
    """Reads items one after another: thoughts and calls go to the turn that they belong to."""

    def __init__(self) -> None:
        self.turns: list[Message] = []
        self._names: dict[str, str] = {}
        self._thought = ""

    def read(self, item: Mapping[str, JsonValue], place: str) -> None:
        """Add what one item is to the turns. Raises `Invalid`."""
        kind = item.get("type", "message")
        if kind == "message":
            self._message(item, place)
        elif kind == "reasoning":
            parts = [part for name in ("summary", "content") for part in _parts(item.get(name))]
            self._thought = "\n".join(parts)
        elif kind == "function_call":
            self._call(item, place)
        elif kind == "function_call_output":
            self._output(item, place)
        elif kind != "web_search_call":
            raise Invalid(f"{place}: an item of this type is not supported")

    def _message(self, item: Mapping[str, JsonValue], place: str) -> None:
        role = _ROLES.get(str(item.get("role", "")).lower())
        if role is None:
            raise Invalid(f"{place}: role is one of {', '.join(_ROLES)}")
        content = read_content(item.get("content"), f"{place}.content")
        thought = self._take_thought() if role is Role.ASSISTANT else ""
        self.turns.append(
            Message(
                role,
                content.text,
                thinking=thought,
                images=content.images,
                places=content.places,
            )
        )

    def _call(self, item: Mapping[str, JsonValue], place: str) -> None:
        name, call_id = _text(item, "name", place), _text(item, "call_id", place)
        space = item.get("namespace")
        full = _full_name(space, name) if isinstance(space, str) else name
        self._names[call_id] = full
        call = ToolCall(full, read_arguments(_text(item, "arguments", place), place), call_id)
        last = self.turns[-1] if self.turns else None
        if last is not None and last.role is Role.ASSISTANT and not self._thought:
            self.turns[-1] = Message(
                last.role,
                last.content,
                thinking=last.thinking,
                images=last.images,
                places=last.places,
                tool_calls=(*last.tool_calls, call),
            )
        else:
            turn = Message(Role.ASSISTANT, "", thinking=self._take_thought(), tool_calls=(call,))
            self.turns.append(turn)

    def _output(self, item: Mapping[str, JsonValue], place: str) -> None:
        call_id = _text(item, "call_id", place)
        content = read_content(item.get("output"), f"{place}.output")
        self.turns.append(
            Message(
                Role.TOOL,
                content.text,
                images=content.images,
                places=content.places,
                tool_name=self._names.get(call_id, ""),
                tool_call_id=call_id,
            )
        )

    def _take_thought(self) -> str:
        thought, self._thought = self._thought, ""
        return thought


def _parts(parts: JsonValue) -> Sequence[str]:
    found = parts if isinstance(parts, list) else []
    texts = [part.get("text") for part in found if isinstance(part, dict)]
    return [text for text in texts if isinstance(text, str)]


def _text(item: Mapping[str, JsonValue], name: str, place: str) -> str:
    value = item.get(name)
    if isinstance(value, str):
        return value
    raise Invalid(f"{place}: {name} is required")


def read_tools(asked: wire.ResponsesRequest) -> tuple[ToolUse, tuple[str, ...]]:
    """Return the functions that may be called, and the kinds of tools that are left out."""
    known: list[Tool] = []
    unknown: dict[str, None] = {}
    for number, tool in enumerate(asked.tools or ()):
        kind, place = tool.get("type", "function"), f"tools[{number}]"
        if kind == "function":
            known.append(read_function(tool, place))
        elif kind == "namespace":
            known += _in_namespace(tool, place)
        else:
            unknown[f"tools.{kind}"] = None
    use = ToolUse(tuple(known), parallel=asked.parallel_tool_calls is not False)
    return choose(use, asked.tool_choice), tuple(unknown)


def _in_namespace(tool: Mapping[str, JsonValue], place: str) -> Sequence[Tool]:
    space, listed = _text(tool, "name", place), tool.get("tools")
    if not isinstance(listed, list):
        raise Invalid(f"{place}: a namespace has a list of tools")
    functions = [each for each in listed if isinstance(each, dict)]
    found = [read_function(each, f"{place}.tools[{n}]") for n, each in enumerate(functions)]
    return [Tool(_full_name(space, each.name), each.description, each.parameters) for each in found]


def _full_name(space: str, name: str) -> str:
    return f"{space}{name}" if space.endswith(_SEPARATOR) else f"{space}{_SEPARATOR}{name}"


def namespaces(asked: wire.ResponsesRequest) -> Mapping[str, tuple[str, str]]:
    """Return namespace and name of each function that has one, by the name the model sees."""
    found = {}
    for tool in asked.tools or ():
        space, listed = tool.get("name"), tool.get("tools")
        if tool.get("type") == "namespace" and isinstance(space, str) and isinstance(listed, list):
            for each in listed:
                name = each.get("name") if isinstance(each, dict) else None
                if isinstance(name, str):
                    found[_full_name(space, name)] = (space, name)
    return found
